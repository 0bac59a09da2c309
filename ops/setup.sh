#!/usr/bin/env bash
# Installs what is missing to build (`ops/setup.sh build`) or also to test (`ops/setup.sh test`)
# on Debian and Ubuntu; elsewhere says what is needed. Does nothing where nothing is missing.
set -euo pipefail

packages=(g++ make pkg-config libzmq3-dev libclang-dev)
[ "${1:-build}" = test ] && packages+=(rsyslog rsyslog-czmq)

say() { printf '%s\n' "$*" >&2; }

# A Python that has pyzmq: the one in the path, or the system's own.
has_zmq() { command -v "$1" >/dev/null && "$1" -c 'import zmq' 2>/dev/null; }
if [ "${1:-build}" = test ]; then
  has_zmq "${SUMMARIZER_PYTHON:-python3}" || has_zmq /usr/bin/python3 || packages+=(python3 python3-zmq)
fi

if ! command -v cargo >/dev/null; then
  say "cargo is missing: install Rust 1.95 or newer by rustup, then start this again"
  exit 1
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  missing=()
  for command in c++ make pkg-config; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  pkg-config --exists libzmq 2>/dev/null || missing+=("libzmq 4 with headers")
  if [ "${1:-build}" = test ]; then
    command -v rsyslogd >/dev/null || missing+=("rsyslog with omczmq")
    has_zmq "${SUMMARIZER_PYTHON:-python3}" || missing+=("Python with pyzmq")
  fi
  [ ${#missing[@]} -eq 0 ] && exit 0
  say "This is not Debian or Ubuntu. Install, by your system's means: $(printf '%s; ' "${missing[@]}")"
  say "and libclang, which RocksDB's bindings need. Then start this again."
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "missing: ${missing[*]}. Run as root: apt-get install ${missing[*]}"
    exit 1
  fi
  root=(sudo)
fi
say "installing: ${missing[*]}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
