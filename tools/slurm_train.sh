#!/usr/bin/env bash
# Usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# One task a node; torchrun starts the processes of its GPUS_PER_NODE GPUs.
set -euo pipefail

USAGE="usage: $0 PARTITION JOB_NAME CONFIG [options of train.py]"
PARTITION=${1:?$USAGE}
JOB_NAME=${2:?$USAGE}
CONFIG=${3:?$USAGE}
GPUS=${GPUS:-2}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
NODES=$(((GPUS + GPUS_PER_NODE - 1) / GPUS_PER_NODE))
PORT=${PORT:-$((12000 + RANDOM % 20000))}

# shellcheck disable=SC2086
srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --nodes="$NODES" \
    --ntasks="$NODES" \
    --ntasks-per-node=1 \
    --cpus-per-task="$((${CPUS_PER_TASK:-5} * GPUS_PER_NODE))" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    bash -c 'torchrun \
        --nnodes="$SLURM_NNODES" \
        --node_rank="$SLURM_NODEID" \
        --nproc_per_node="$0" \
        --master_addr="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)" \
        --master_port="$1" \
        "${@:2}"' "$GPUS_PER_NODE" "$PORT" \
    "$(dirname "$0")/${CENTERCLIP_TOOL:-train.py}" --launcher pytorch "$CONFIG" "${@:4}"
