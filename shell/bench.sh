#!/usr/bin/env bash
# Measures lclaude next to the plain programs, with the real llama-server.
# `warm` measures the wait for the first token instead, with the real Claude Code too. That takes minutes.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

usage() {
  cat <<'USAGE'
Usage: shell/bench.sh [warm [second|project|priming|harm|ready|wide]] [--yes]

LCLAUDE_TEST_BINARY names another lclaude to measure than the one that cargo builds, such as that of
a package.
USAGE
}

WHAT=()
if [ "${1:-}" = warm ]; then
  WHAT=(warm)
  shift
  case "${1:-}" in
    second | project | priming | harm | ready | wide)
      WHAT+=("$1")
      shift
      ;;
  esac
fi
read_options "$@"

trap stop_tools EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
check_cargo "lclaude cannot be measured"
plan_tools llama-server claude
install_packages
start_tools
finish_tools
export LCLAUDE_E2E_LLAMA_SERVER=$LLAMA_SERVER_BIN LCLAUDE_E2E_CLAUDE=$CLAUDE_BIN
cargo bench --locked --quiet --bench figures -- ${WHAT[@]+"${WHAT[@]}"}
