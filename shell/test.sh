#!/usr/bin/env bash
# Runs all checks, as CI does: formatting, lints, shell scripts, and all tests. The end-to-end tests
# use the real Claude Code and the real llama-server.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

SUMMARY=""      # one line per part
FAILED=""       # the parts that failed
SCRATCH=""      # temporary directory with the output of the tests

usage() {
  cat <<'USAGE'
Usage: shell/test.sh [--yes]

Runs cargo fmt, clippy (also for macOS), shellcheck, actionlint and all tests, including end-to-end
tests, and checks that no process is left running. The first run downloads Claude Code and builds
llama-server and actionlint, in pinned versions, and keeps them in LCLAUDE_TOOLS (default:
lclaude-tools in XDG_CACHE_HOME or ~/.cache).

  --yes     install missing Debian packages without asking, including those for optional tests
            (if CI is set in the environment, a missing program is a failure instead of a skipped test)
  --help    show this help
USAGE
}

main() {
  read_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  check_toolchain
  plan_tools claude llama-server actionlint macos-rust
  plan_helpers
  install_packages
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-test.XXXXXX")
  TARGET=$(where_cargo_builds)
  list_ours >"$SCRATCH/before"

  # Prepare the tools in the background while checks that don't need them run.
  start_tools
  part "format" cargo fmt --all --check
  part "shell scripts" check_shell
  part "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
  part "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
  if cargo deny --version >/dev/null 2>&1; then
    part "licenses and sources" cargo deny --all-features check bans licenses sources
  fi
  part "build" cargo build --locked --workspace --bins
  wait_for_tools
  part "workflows" check_workflows
  part "macOS" shell/check-macos.sh
  part "tests" run_tests
  part "nothing left running" check_nothing_left
}

# Prints the summary and sets the exit code, however the script ends.
leave() {
  local code=$?
  stop_tools
  if [ -n "$SUMMARY" ]; then
    say ""
    say "Summary"
    printf '%s' "$SUMMARY" >&2
  fi
  if [ -n "$SCRATCH" ] && [ -f "$SCRATCH/tests" ]; then count_tests; fi
  if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
  if [ -n "$FAILED" ]; then
    say "failed:${FAILED%,}"
    if [ "$code" = 0 ]; then code=1; fi
  fi
  exit "$code"
}

# --- before ------------------------------------------------------------------------------------

check_toolchain() {
  check_cargo "lclaude cannot be tested"
  cargo fmt --version >/dev/null 2>&1 || die "cargo fmt is not installed" "rustup component add rustfmt clippy"
  cargo clippy --version >/dev/null 2>&1 || die "cargo clippy is not installed" "rustup component add rustfmt clippy"
}

# Programs that some checks use. They are optional unless --yes is given; in CI none is optional.
plan_helpers() {
  if [ "$(uname -s)" = Linux ]; then
    plan_helper strace "tests of the files and connections that Claude Code opens"
    plan_helper busybox "tests of the installer where nothing else is"
    plan_helper rpm "tests of the .rpm package"
  fi
  plan_helper shellcheck "checks of the shell scripts"
  plan_helper zsh "tests of the hook and completions in zsh"
  plan_helper fish "tests of the hook and completions in fish"
  plan_helper groff "the check of the manual page"
  plan_helper npm "tests of the npm packages"
  plan_helper ruby "tests of the Homebrew formula"
}

plan_helper() {
  if have "$1"; then return 0; fi
  if [ "$ASSUME_YES" = 1 ] && have apt-get; then
    need_package "$1" "$2"
  else
    say "note: $1 is not installed, so this is skipped: $2"
  fi
}

wait_for_tools() {
  if [ -n "$RUNNING" ]; then say "== tools"; fi
  local began=$SECONDS
  finish_tools
  note "waiting for tools" "$((SECONDS - began))" ok
}

# --- parts -------------------------------------------------------------------------------------

# part NAME COMMAND...: runs COMMAND and continues after a failure, so that one run shows all failures
part() {
  local name=$1 began=$SECONDS code
  shift
  say "== $name"
  # Don't write `if (…)`, because bash would ignore set -e inside.
  set +e
  (set -e; "$@")
  code=$?
  set -e
  if [ "$code" = 0 ]; then
    note "$name" "$((SECONDS - began))" ok
  else
    note "$name" "$((SECONDS - began))" "FAILED ($code)"
    FAILED="$FAILED $name,"
  fi
}

note() {
  SUMMARY="$SUMMARY$(printf '  %-24s %6s  %s' "$1" "$(clock "$2")" "$3")
"
}

check_shell() {
  local file
  for file in shell/*.sh shell/*.bash shell/completions/*.bash .ci/run; do bash -n "$file"; done
  if is_there zsh; then for file in shell/*.zsh shell/completions/_*; do zsh -n "$file"; done; fi
  if is_there fish; then for file in shell/*.fish shell/completions/*.fish; do fish --no-execute "$file"; done; fi
  if is_there shellcheck; then
    shellcheck -x shell/*.sh shell/*.bash shell/completions/*.bash shell/release/*.sh shell/release/npm/bin/* .ci/run
  fi
}

# actionlint also runs shellcheck on the commands of the workflows.
check_workflows() { "$(tool_file actionlint)" .github/workflows/*.yml; }

# Succeeds if a program is installed. Otherwise its check is skipped, or fails in CI.
is_there() {
  if have "$1"; then return 0; fi
  if [ -n "${CI:-}" ]; then die "$1 is missing, and CI runs every check" "$(install_command "$1")"; fi
  say "skipped: $1 is not installed"
  return 1
}

run_tests() {
  export LCLAUDE_E2E_CLAUDE=$CLAUDE_BIN LCLAUDE_E2E_LLAMA_SERVER=$LLAMA_SERVER_BIN
  cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$SCRATCH/tests"
}

# Prints the totals of all test programs. A test that needs a missing program says so itself.
count_tests() {
  awk '/^test result:/ { passed += $4; failed += $6 } /^skipped: / && !seen[$2]++ { skipped++ }
    END { printf "%d passed (%d of them skipped, in part or as a whole), %d failed\n", passed, skipped, failed }' \
    "$SCRATCH/tests"
}

# --- leftover processes ------------------------------------------------------------------------

# Lists running programs that we built or downloaded. Those that ran before the tests don't count.
list_ours() {
  local tools=$TOOLS_DIR
  if [ -d "$tools" ]; then tools=$(cd "$tools" && pwd -P); fi
  programs_under "$TARGET" "$tools"
}

list_new_ours() { list_ours | grep -vxFf "$SCRATCH/before" || true; }

check_nothing_left() {
  local left
  left=$(gone_soon list_new_ours)
  if [ -n "$left" ]; then
    die "the tests left these programs running:
$left" "a test must wait for every program that it starts"
  fi
}

main "$@"
