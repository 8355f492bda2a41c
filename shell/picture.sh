#!/usr/bin/env bash
# Records the picture of the README, docs/picture.svg: a session of the real Claude Code on the real llama-server, with a
# scripted model.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

usage() {
  cat <<'USAGE'
Usage: shell/picture.sh [--yes]

Records a session in a temporary home and writes docs/picture.svg. Downloads or builds missing
programs, as shell/test.sh does.

  --yes     install missing Debian packages without asking
  --help    show this help
USAGE
}

read_options "$@"
trap stop_tools EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
check_cargo "lclaude cannot be built"
plan_tools llama-server claude
install_packages
start_tools
finish_tools
export LCLAUDE_E2E_LLAMA_SERVER=$LLAMA_SERVER_BIN LCLAUDE_E2E_CLAUDE=$CLAUDE_BIN
cargo test --locked --quiet --bench picture -- "$PWD/docs/picture.svg"
