#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
set -euo pipefail

CONFIG=${1:?usage: $0 CONFIG CHECKPOINT PROCESSES [options of test.py]}
CHECKPOINT=${2:?usage: $0 CONFIG CHECKPOINT PROCESSES [options of test.py]}
GPUS=${3:?usage: $0 CONFIG CHECKPOINT PROCESSES [options of test.py]}

torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
