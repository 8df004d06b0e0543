#!/usr/bin/env bash
# packages.sh LIST...: every program of the lists is there. Installs what is missing when it may (root and apt-get), without starting any service;
# otherwise prints the one command that does it, and fails.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
lists=("$@")
policy=/usr/sbin/policy-rc.d

missing() {
  while read -r program package; do
    case $program in '' | '#'*) continue ;; esac
    command -v "$program" >/dev/null || echo "$package"
  done < <(cat "${lists[@]}") | sort -u
}

mapfile -t wanted < <(missing)
[ "${#wanted[@]}" -gt 0 ] || exit 0
command=(apt-get install -y --no-install-recommends "${wanted[@]}")
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: missing ${wanted[*]}; on Debian run as root: ${command[*]}" >&2
  exit 1
fi

# While this file is there, packages start no service of their own. One that was there before comes back as it was.
saved=$(mktemp -d)
restore() {
  rm -f "$policy"
  if [ -e "$saved/policy-rc.d" ]; then mv "$saved/policy-rc.d" "$policy"; fi
  rm -rf "$saved"
}
trap restore EXIT
trap 'exit 130' INT TERM
if [ -e "$policy" ]; then cp -a "$policy" "$saved/policy-rc.d"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

echo "setup: installing ${wanted[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
"${command[@]}" -qq >"$saved/log" 2>&1 || { cat "$saved/log" >&2; exit 1; }
mapfile -t wanted < <(missing)
[ "${#wanted[@]}" = 0 ] || { echo "setup: still missing ${wanted[*]}" >&2; exit 1; }
