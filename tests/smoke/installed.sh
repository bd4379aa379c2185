#!/usr/bin/env bash
# Installs the package into a new environment, away from the repository, and runs its commands there.
# Usage: installed.sh [CONSTRAINTS]; without constraints pip chooses the newest versions that the package allows.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
pip=("$place/venv/bin/pip" install --quiet --disable-pip-version-check)
# The CPU build of torch, by its exact version: nothing after it may choose another one.
"${pip[@]}" "$(grep '^torch==' "$root/constraints.txt")"
"${pip[@]}" ${1:+--constraint "$root/$1"} "$root"
cd "$place"
run=("$place/venv/bin/transformers4recsys")
"${run[@]}" --version
"${run[@]}" simulate --output log --days 3 --sessions_per_day 300 --items 100
"${run[@]}" preprocess --input log --output days --recipe ecommerce-large
"${run[@]}" train --data_path days --feature_config days/features.yaml --start_date 2019-10-01 --end_date 2019-10-03 \
    --output_dir results --do_train --do_eval --model_type gpt2 --n_layer 1 --n_head 2 --d_model 16 \
    --per_device_train_batch_size 64 --per_device_eval_batch_size 64 --learning_rate 0.001 --report_to tensorboard
"${run[@]}" recommend --run results --input log --output recommendations.csv --k 3
grep --quiet '^.*,3,' recommendations.csv
echo "installed and run: $("$place/venv/bin/pip" freeze | grep -i -E '^(torch|transformers|numpy|pyarrow|duckdb|ibis-framework|sqlglot)==' | tr '\n' ' ')"
