#!/usr/bin/env bash
# Every check there is, and what CI runs: formatting, lints, shell scripts, and all tests, the
# end-to-end ones with the real Claude Code and the real llama-server.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

SUMMARY=""      # a line for each part
FAILED=""       # the parts that failed
SCRATCH=""      # temporary directory: the tests' output

usage() {
  cat <<'USAGE'
Usage: shell/test.sh [--yes]

Runs cargo fmt, clippy, shellcheck and all tests, end-to-end tests included, and checks that no
process is left. Claude Code and llama-server are fetched and built on the first run, in a pinned
version, and kept in LCLAUDE_TOOLS (default: lclaude-tools in XDG_CACHE_HOME or ~/.cache).

  --yes     install missing Debian packages without asking, those for optional tests too
            (with CI set in the environment, what is missing is a failure instead of a skipped test)
  --help    this text
USAGE
}

main() {
  read_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  check_toolchain
  plan_tools claude llama-server
  plan_helpers
  install_packages
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-test.XXXXXX")
  TARGET=$(where_cargo_builds)
  list_ours >"$SCRATCH/before"

  # The tools are made in the background while the checks that do not need them run.
  start_tools
  part "format" cargo fmt --all --check
  part "shell scripts" check_shell
  part "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
  part "build" cargo build --locked --workspace --bins
  wait_for_tools
  part "tests" run_tests
  part "nothing left running" check_nothing_left
}

# On every way out: the summary, and the exit code that goes with it.
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
  have cargo || die "cargo is missing" "see https://rustup.rs"
  cargo fmt --version >/dev/null 2>&1 || die "cargo fmt is missing" "rustup component add rustfmt clippy"
  cargo clippy --version >/dev/null 2>&1 || die "cargo clippy is missing" "rustup component add rustfmt clippy"
}

# Programs some checks use. Without --yes they stay optional, but in CI nothing is.
plan_helpers() {
  plan_helper strace "tests of what Claude Code's process opens and connects to"
  plan_helper shellcheck "checks the shell scripts"
  plan_helper zsh "tests of the hook and the completions in zsh"
  plan_helper fish "tests of the hook and the completions in fish"
  plan_helper groff "the check of the manual page"
}

plan_helper() {
  if have "$1"; then return 0; fi
  if [ "$ASSUME_YES" = 1 ] && have apt-get; then
    need_package "$1" "$2"
  else
    say "note: without $1 these are skipped: $2"
  fi
}

wait_for_tools() {
  if [ -n "$RUNNING" ]; then say "== tools"; fi
  local began=$SECONDS
  finish_tools
  note "tools, after the above" "$((SECONDS - began))" ok
}

# --- parts -------------------------------------------------------------------------------------

# part NAME COMMAND...: runs it, and goes on after a failure, so that one run shows them all
part() {
  local name=$1 began=$SECONDS code
  shift
  say "== $name"
  # Not `if (…)`: bash would ignore set -e inside.
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
  if is_there shellcheck; then shellcheck -x shell/*.sh shell/*.bash shell/completions/*.bash .ci/run; fi
}

# Where a program is missing, its check is skipped; in CI that is a failure.
is_there() {
  if have "$1"; then return 0; fi
  if [ -n "${CI:-}" ]; then die "$1 is missing, and CI runs every check" "apt-get install $1"; fi
  say "skipped: $1 is not installed"
  return 1
}

run_tests() {
  export LCLAUDE_E2E_CLAUDE=$CLAUDE_BIN LCLAUDE_E2E_LLAMA_SERVER=$LLAMA_SERVER_BIN
  cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$SCRATCH/tests"
}

# The one line that sums up all test programs. A test that needs what this machine has not says so itself.
count_tests() {
  awk '/^test result:/ { passed += $4; failed += $6 } /^skipped: / && !seen[$2]++ { skipped++ }
    END { printf "%d passed (%d of them skipped, in part or as a whole), %d failed\n", passed, skipped, failed }' \
    "$SCRATCH/tests"
}

# --- what is left ------------------------------------------------------------------------------

# Programs we built or fetched. Those that ran before the tests are not theirs.
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
    die "the tests left these running:
$left" "a test that starts a program must see it end"
  fi
}

main "$@"
