#!/usr/bin/env bash
# Kills random processes, starts sessions while others stop, and runs 100 sessions at once, against the fakes.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null

usage() {
  cat <<'USAGE'
Usage: shell/stress.sh [SECONDS]

Runs each stress test (tests/it/stress.rs) for SECONDS (60 by default) and prints what it did. A
failure names the seed of its round; LCLAUDE_STRESS_SEED=SEED repeats that round first.
USAGE
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
esac
seconds=${1:-60}
if [ $# -gt 1 ] || ! [[ $seconds =~ ^[0-9]+$ ]]; then
  usage >&2
  exit 64
fi
LCLAUDE_STRESS=$seconds cargo test --locked --quiet --test it -- stress:: --nocapture --test-threads=1
