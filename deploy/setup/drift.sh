#!/usr/bin/env bash
# drift.sh BIN: generated files are what their sources say: the contract's code, and the published schema of experiments.
set -euo pipefail
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$bin/python" proto/generate.py "$work"
while read -r made; do
  cmp "$work/$made" "proto/$made" || { echo "drift: run $bin/python proto/generate.py and commit" >&2; exit 1; }
done < <(cd "$work" && find . -name '*_pb2*.py*')

"$bin/blackstart" experiment schema >"$work/schema.json"
cmp "$work/schema.json" docs/experiment.schema.json || {
  echo "drift: run $bin/blackstart experiment schema > docs/experiment.schema.json and commit" >&2
  exit 1
}
