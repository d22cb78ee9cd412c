#!/usr/bin/env bash
# Train on a folder, keeping every tenth file out, and print the table.   ./run.sh FOLDER WORK
set -euo pipefail
folder=${1:?a folder of sounds, such as /usr/share/sonic-pi/samples} work=${2:?a folder for the runs}
python "$(dirname "$0")/compare.py" "$folder" --work "$work"
