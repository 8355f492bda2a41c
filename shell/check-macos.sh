#!/usr/bin/env bash
# Checks on Linux that everything compiles for macOS. Nothing is linked or run.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=tools.sh
. shell/tools.sh

usage() {
  cat <<'USAGE'
Usage: shell/check-macos.sh [--yes]

Checks the program, its tests and its benchmarks for macOS, with warnings as errors. With rustup's
target aarch64-apple-darwin that takes a minute the first time:

  rustup target add aarch64-apple-darwin

Without it, on Debian, a Rust from Debian's packages is used, with the source of the standard
library. It is not installed, but kept in LCLAUDE_TOOLS (default: lclaude-tools in XDG_CACHE_HOME or
~/.cache). That downloads 137 MB, uses 1.6 GB of disk, and takes five minutes the first time. It
shows rustc's warnings, but not clippy's. Elsewhere the check is skipped, or fails if CI is set.

  --yes     add rustup's target, or install missing Debian packages, without asking
  --help    show this help
USAGE
}

main() {
  read_options "$@"
  if [ "$(uname -s)" = Darwin ]; then
    say "skipped: this is macOS, where clippy and the tests check more"
    return 0
  fi
  trap stop_tools EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  check_cargo "lclaude cannot be checked"
  plan_tools macos-rust
  install_packages
  start_tools
  finish_tools
  # C isn't compiled for a check, so the build script of ring gets programs that do nothing.
  export CC_aarch64_apple_darwin=true AR_aarch64_apple_darwin=true RANLIB_aarch64_apple_darwin=true
  if has_macos_target; then
    cargo clippy --locked --workspace --all-targets --target "$MACOS_TARGET" -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet --target "$MACOS_TARGET"
  elif [ -x "$(tool_file macos-rust)" ]; then
    check_with_debian
  elif [ -n "${CI:-}" ]; then
    die "Rust's standard library for macOS is missing, and CI runs every check" "rustup target add $MACOS_TARGET"
  else
    say "skipped: Rust's standard library for macOS is missing; to get it: rustup target add $MACOS_TARGET"
  fi
}

# The directory of the build is shared by all checkouts, because the standard library takes minutes. cargo locks it.
check_with_debian() {
  local rust cargo
  rust=$(dirname "$(tool_file macos-rust)")
  # Not through rustup, which would give its own libraries to Debian's compiler.
  cargo=$(rustup which cargo 2>/dev/null || type -P cargo)
  export RUSTC=$rust/rustc RUSTC_WORKSPACE_WRAPPER=$rust/deny-warnings CARGO_TARGET_DIR=$TOOLS_DIR/macos-target
  # Both allow the standard library to be built from its source.
  export RUSTC_BOOTSTRAP=1
  "$cargo" check --locked --workspace --all-targets --target "$MACOS_TARGET" -Zbuild-std=std,panic_abort,test
}

main "$@"
