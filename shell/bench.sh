#!/usr/bin/env bash
# Measures lclaude next to the plain programs, with the real llama-server.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

usage() { printf 'Usage: shell/bench.sh [--yes]\n'; }

read_options "$@"

trap stop_tools EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
plan_tools llama-server claude
install_packages
start_tools
finish_tools
export LCLAUDE_E2E_LLAMA_SERVER=$LLAMA_SERVER_BIN LCLAUDE_E2E_CLAUDE=$CLAUDE_BIN
cargo bench --locked --quiet --bench figures
