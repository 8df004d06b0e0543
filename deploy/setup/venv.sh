#!/usr/bin/env bash
# venv.sh PYTHON VENV REQUIREMENTS: VENV holds exactly the pinned versions, checked by hash, and this project in editable form.
set -euo pipefail
python=$1 venv=$2 requirements=$3

if ! "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv
  fi
fi
if ! "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "setup: $python must be Python 3.11 or newer, with ensurepip; on Debian 12: apt-get install python3 python3-venv;" \
    "or name another one: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --require-hashes --requirement "$requirements"
"$venv/bin/pip" install --quiet --no-deps --no-build-isolation --editable .
