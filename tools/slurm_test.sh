#!/usr/bin/env bash
# Usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
set -euo pipefail
: "${4:?usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]}"
CENTERCLIP_TOOL=test.py exec "$(dirname "$0")/slurm_train.sh" "$@"
