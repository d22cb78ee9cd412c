#!/usr/bin/env bash
# Train a VAE on one-shots, in sub-folders or with labels in a CSV, and make clips of every class.   ./run.sh DRUMS RUN [CSV]
set -euo pipefail
here=$(dirname "$0") drums=${1:?a folder of one-shots} run=${2:?a folder for the run} labels=${3:-auto}
audio-gen train "$drums" --run "$run" --config "$here/config.yaml" --set "data.labels=$labels"
audio-gen evaluate "$drums" "$run" --labels "$labels" -n 256 --out "$run/evaluation" --force
for class in $(python -c "import json,sys; print(*json.load(open(sys.argv[1]))['classes'])" "$run/bundle/config.json"); do
  audio-gen sample "$run" -n 8 --class "$class" --out "$run/clips/$class"
done
