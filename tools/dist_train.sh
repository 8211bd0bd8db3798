#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [options of train.py]
set -euo pipefail

CONFIG=${1:?usage: $0 CONFIG PROCESSES [options of train.py]}
GPUS=${2:?usage: $0 CONFIG PROCESSES [options of train.py]}

torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/${CENTERCLIP_TOOL:-train.py}" --launcher pytorch "$CONFIG" "${@:3}"
