#!/usr/bin/env bash
# Installs lclaude with its completions, manual page and shell hooks under one prefix, or uninstalls them.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=machine.sh
. shell/machine.sh

PREFIX=${HOME:+$HOME/.local}
BINARY=""           # an lclaude that is already built
TEXTS_FROM=""       # an lclaude that prints the other files, if the installed one can't run on this machine
UNINSTALL=0

usage() {
  cat <<'USAGE'
Usage: shell/install.sh [--prefix DIR] [--binary FILE] [--uninstall]

Builds lclaude and installs it with completions for bash, zsh and fish, a manual page, and hooks
that make `claude` run lclaude in projects with a .lclaude.toml. It doesn't edit your shell's
files; it prints the lines to add.

To upgrade, run it again from a newer checkout, with the same --prefix: git pull && ./shell/install.sh
Sessions that are running keep the version they started with.

  --prefix DIR   install under DIR (default: ~/.local)
  --binary FILE  install this lclaude instead of building one
  --uninstall    remove exactly what was installed there
  --help         show this help

--uninstall leaves your configuration (~/.config/lclaude), the logs (~/.local/state/lclaude) and the
cache (~/.cache/lclaude), and says so.

For packagers: DESTDIR is put in front of the prefix, and nothing is recorded for --uninstall.
LCLAUDE_INSTALLED_BY, such as apk, is what `lclaude --version` says about how it was installed
(default: source). If lclaude was built for another platform, `--texts-from FILE` names one that runs
on this machine; it prints the manual page and completions.
USAGE
}

main() {
  read_own_options "$@"
  clean_up_at_exit
  ROOT=${DESTDIR:-}$PREFIX
  if [ "$UNINSTALL" = 1 ]; then
    uninstall
    return 0
  fi
  check_word
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-install.XXXXXX")
  list_files >"$SCRATCH/files"
  # A build takes a minute.
  check_writable
  if [ -z "$BINARY" ]; then build; fi
  collect
  place_files "$SCRATCH/tree"
  next_steps "git pull && ./shell/install.sh$(prefix_option)" "./shell/install.sh --uninstall$(prefix_option)"
}

read_own_options() {
  local name
  while [ $# -gt 0 ]; do
    case "$1" in
      --prefix=* | --binary=* | --texts-from=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    name=$1
    case "$name" in
      --prefix | --binary | --texts-from)
        case "${2:-}" in "" | --*) misuse "$name needs a value" ;; esac
        shift
        ;;
    esac
    case "$name" in
      --prefix) PREFIX=$1 ;;
      --binary) BINARY=$(absolute "$1") ;;
      --texts-from) TEXTS_FROM=$(absolute "$1") ;;
      --uninstall) UNINSTALL=1 ;;
      --help | -h) usage; exit 0 ;;
      *) misuse "unknown option: $1" ;;
    esac
    shift
  done
  choose_prefix "$PREFIX"
}

# The program shows only such words.
check_word() {
  case "${LCLAUDE_INSTALLED_BY:=source}" in
    *[!A-Za-z0-9._+-]*) ;;
    *) if [ "${#LCLAUDE_INSTALLED_BY}" -le 32 ]; then return 0; fi ;;
  esac
  die "invalid value $(quoted "$LCLAUDE_INSTALLED_BY") for LCLAUDE_INSTALLED_BY: it has up to 32 of A-Z a-z 0-9 . _ + -" \
    "LCLAUDE_INSTALLED_BY=apk shell/install.sh"
}

# --- installing --------------------------------------------------------------------------------

# list_files: the files to install below the prefix, where the shells and man look for them
list_files() {
  cat <<'FILES'
bin/lclaude
share/man/man1/lclaude.1
share/bash-completion/completions/lclaude
share/zsh/site-functions/_lclaude
share/fish/vendor_completions.d/lclaude.fish
share/lclaude/lclaude.bash
share/lclaude/lclaude.zsh
share/lclaude/lclaude.fish
share/lclaude/installed-by
FILES
}

build() {
  (check_cargo "lclaude cannot be built") || {
    say "  help: or install an lclaude that is already built: shell/install.sh --binary FILE"
    exit 1
  }
  say "Building lclaude"
  cargo build --release --locked --bin lclaude
  BINARY=$(where_cargo_builds)/release/lclaude
}

# The program prints the other files itself, so all have the same version.
collect() {
  [ -f "$BINARY" ] || die "$BINARY does not exist" "build and install lclaude: shell/install.sh"
  local file shell
  for file in $(list_files); do mkdir -p "$SCRATCH/tree/$(dirname "$file")"; done
  cp "$BINARY" "$SCRATCH/tree/bin/lclaude"
  chmod 755 "$SCRATCH/tree/bin/lclaude"
  print_own share/man/man1/lclaude.1 man
  print_own share/bash-completion/completions/lclaude completions bash
  print_own share/zsh/site-functions/_lclaude completions zsh
  print_own share/fish/vendor_completions.d/lclaude.fish completions fish
  for shell in bash zsh fish; do print_own "share/lclaude/lclaude.$shell" completions "$shell" --hook; done
  printf '%s\n' "$LCLAUDE_INSTALLED_BY" >"$SCRATCH/tree/share/lclaude/installed-by"
}

# print_own FILE VERB...: writes what the program prints to FILE
print_own() {
  local file=$SCRATCH/tree/$1
  shift
  if "${TEXTS_FROM:-$SCRATCH/tree/bin/lclaude}" local "$@" >"$file" && [ -s "$file" ]; then return 0; fi
  die "${TEXTS_FROM:-$BINARY} is not a working lclaude" "build and install lclaude: shell/install.sh"
}

main "$@"
