#!/usr/bin/env bash
# Writes requirements/{agent,cli,controller,dev}.txt anew: every version with the hashes of all its files, for every platform, and no
# address of where they were found. Versions stay as they are, unless UPGRADE=1.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv
compile() {
  out=requirements/$1.txt
  shift
  "$work/venv/bin/uv" pip compile --quiet --no-cache ${UPGRADE:+--upgrade} --generate-hashes --universal --python-version 3.11 \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@" --output-file "$out" >/dev/null
}
compile dev pyproject.toml requirements/build.in --extra dev
for extra in agent cli controller; do
  option=(--extra "$extra")
  [ "$extra" = agent ] && option=()
  compile "$extra" pyproject.toml "${option[@]}" --constraint <(grep -E '^[a-zA-Z0-9_.-]+==' requirements/dev.txt | sed 's/ *\\$//')
done
if grep -nE '://|--index|--find-links|file:' requirements/*.txt; then
  echo "requirements: an address got in, see the lines above" >&2
  exit 1
fi
