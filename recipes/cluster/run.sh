#!/usr/bin/env bash
# Train on all GPUs of one machine, or of several: ./run.sh FOLDER RUN [settings of `audio-gen train` ..]
# For several, set NODES, NODE_RANK and HEAD (the first one's address) on each; FOLDER and RUN are on a shared disk.
set -euo pipefail
folder=${1:?a folder of sounds} run=${2:?a folder for the run}
shift 2
where=(--standalone)
if [ "${NODES:-1}" -gt 1 ]; then
    where=(--nnodes "$NODES" --node-rank "${NODE_RANK:?which of the nodes this is, from 0}"
        --master-addr "${HEAD:?the address of the first}" --master-port "${PORT:-29500}")
fi
# The -- keeps torchrun from reading --run as one of its own options.
torchrun "${where[@]}" --nproc-per-node "${PROCESSES:-gpu}" -m -- audio_gen train "$folder" --run "$run" "$@"
