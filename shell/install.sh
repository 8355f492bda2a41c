#!/usr/bin/env bash
# Installs lclaude with its completions, its manual page and the shells' hooks under one prefix, and removes them again.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=machine.sh
. shell/machine.sh

PREFIX=${HOME:+$HOME/.local}
BINARY=""           # a program that is built already
UNINSTALL=0
ROOT=""             # where the files go: the prefix, below DESTDIR
LEDGER=share/lclaude/installed    # what was installed and which directories were made, for --uninstall
SCRATCH=""          # temporary directory: the files to install
HALF_WRITTEN=""     # a file under its temporary name

usage() {
  cat <<'USAGE'
Usage: shell/install.sh [--prefix DIR] [--binary FILE] [--uninstall]

Builds lclaude and installs it with its completions for bash, zsh and fish, its manual page and
the hooks that make `claude` mean lclaude in projects with a .lclaude.toml. Edits no file of
yours; it prints the lines to add.

  --prefix DIR   where to, ~/.local unless given
  --binary FILE  install this lclaude instead of building one
  --uninstall    remove what was installed there, and nothing else
  --help         this text

DESTDIR is put in front of the prefix, for those who make packages.
USAGE
}

main() {
  read_own_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  ROOT=${DESTDIR:-}$PREFIX
  if [ "$UNINSTALL" = 1 ]; then
    uninstall
    return 0
  fi
  check_writable
  if [ -z "$BINARY" ]; then build; fi
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-install.XXXXXX")
  collect
  note_what_comes
  local file
  for file in $(list_files); do place "$file"; done
  farewell
}

read_own_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --prefix | --binary)
        case "${2:-}" in
          "" | --*) complain "$1 needs a value" "shell/install.sh --help"; exit 64 ;;
        esac
        if [ "$1" = --prefix ]; then PREFIX=$(absolute "$2"); else BINARY=$(absolute "$2"); fi
        shift
        ;;
      --prefix= | --binary=) complain "${1%=} needs a value" "shell/install.sh --help"; exit 64 ;;
      --prefix=*) PREFIX=$(absolute "${1#*=}") ;;
      --binary=*) BINARY=$(absolute "${1#*=}") ;;
      --uninstall) UNINSTALL=1 ;;
      *) read_options "$1" ;;
    esac
    shift
  done
  case "$PREFIX" in
    /*) ;;
    *) die "no place to install to: HOME is not set" "shell/install.sh --prefix DIR" ;;
  esac
  PREFIX=${PREFIX%/}
}

# Relative to where the user is, which is not where this script goes.
absolute() {
  case "$1" in
    /*) echo "$1" ;;
    *) echo "${OLDPWD:-$PWD}/$1" ;;
  esac
}

leave() {
  if [ -n "$HALF_WRITTEN" ]; then rm -f "$HALF_WRITTEN"; fi
  if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
}

# --- installing --------------------------------------------------------------------------------

# list_files: all that is installed, below the prefix, in the places where the shells and man look
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
FILES
}

# Before a build of a minute: the nearest directory that is there must take new ones.
check_writable() {
  local file directory
  for file in $(list_files); do
    directory=$(dirname "$ROOT/$file")
    while [ ! -e "$directory" ]; do directory=$(dirname "$directory"); done
    if [ ! -d "$directory" ]; then
      die "$directory is in the way: it is not a directory" "shell/install.sh --prefix /another/directory"
    fi
    if [ ! -w "$directory" ]; then
      die "cannot write to $directory" "shell/install.sh --prefix ~/.local" "or with the rights it takes, such as sudo's"
    fi
    if [ -d "$ROOT/$file" ]; then
      die "$ROOT/$file is in the way: it is a directory" "shell/install.sh --prefix /another/directory"
    fi
  done
}

build() {
  have cargo || die "cargo is missing, and lclaude is written in Rust" "see https://rustup.rs" \
    "or name a program that is built: shell/install.sh --binary FILE"
  say "Building lclaude"
  cargo build --release --locked --bin lclaude
  BINARY=$(where_cargo_builds)/release/lclaude
}

# The program has all the others in it, so they are its own version's.
collect() {
  [ -f "$BINARY" ] || die "there is no $BINARY" "shell/install.sh builds one"
  local file shell
  for file in $(list_files); do mkdir -p "$SCRATCH/$(dirname "$file")"; done
  cp "$BINARY" "$SCRATCH/bin/lclaude"
  chmod 755 "$SCRATCH/bin/lclaude"
  print_own share/man/man1/lclaude.1 man
  print_own share/bash-completion/completions/lclaude completions bash
  print_own share/zsh/site-functions/_lclaude completions zsh
  print_own share/fish/vendor_completions.d/lclaude.fish completions fish
  for shell in bash zsh fish; do print_own "share/lclaude/lclaude.$shell" completions "$shell" --hook; done
}

# print_own FILE VERB...: what the program itself prints
print_own() {
  local file=$SCRATCH/$1
  shift
  if "$SCRATCH/bin/lclaude" local "$@" >"$file" && [ -s "$file" ]; then return 0; fi
  die "$BINARY is no lclaude that can be installed" "shell/install.sh builds one"
}

# Files and directories are noted before they are there, so that --uninstall finds what an installation that was
# interrupted left.
note_what_comes() {
  local file directory
  {
    if [ -f "$ROOT/$LEDGER" ]; then cat "$ROOT/$LEDGER"; fi
    for file in $(list_files) "$LEDGER"; do
      echo "file $file"
      directory=$(dirname "$file")
      while [ ! -d "$ROOT/$directory" ]; do
        echo "directory $directory"
        if [ "$directory" = . ]; then break; fi
        directory=$(dirname "$directory")
      done
    done
  } | sort -u >"$SCRATCH/$LEDGER"
  place "$LEDGER"
}

# place FILE: puts it where it belongs, at once and whole. A program that runs keeps the one it was started from.
place() {
  local to=$ROOT/$1
  mkdir -p "$(dirname "$to")" || die "cannot make $(dirname "$to")" "shell/install.sh --prefix /another/directory"
  HALF_WRITTEN=$(mktemp "$to.XXXXXX") || die "cannot write to $(dirname "$to")" "df -h $(dirname "$to")"
  cp "$SCRATCH/$1" "$HALF_WRITTEN" || die "cannot write $to" "df -h $(dirname "$to")"
  case "$1" in
    bin/*) chmod 755 "$HALF_WRITTEN" ;;
    *) chmod 644 "$HALF_WRITTEN" ;;
  esac
  mv -f "$HALF_WRITTEN" "$to"
  HALF_WRITTEN=""
  if [ "$1" != "$LEDGER" ]; then say "  $to"; fi
}

farewell() {
  local first
  say ""
  case ":$PATH:" in
    *":$PREFIX/bin:"*)
      first=$(type -P lclaude || true)
      if [ -z "${DESTDIR:-}" ] && [ "$first" != "$PREFIX/bin/lclaude" ]; then
        say "Another lclaude comes first on your PATH: $first"
      fi
      ;;
    *) say "$PREFIX/bin is not on your PATH; in ~/.profile or your shell's own file:"
      say "  export PATH=$(quoted "$PREFIX/bin"):\$PATH" ;;
  esac
  say "For \`claude\` to mean lclaude in projects with a .lclaude.toml, add to"
  say "  ~/.bashrc                   . $(quoted "$PREFIX/share/lclaude/lclaude.bash")"
  say "  ~/.zshrc                    . $(quoted "$PREFIX/share/lclaude/lclaude.zsh")"
  say "  ~/.config/fish/config.fish  source $(quoted "$PREFIX/share/lclaude/lclaude.fish")"
  say "bash (with the bash-completion package) and fish find the completions by themselves; zsh does with this in ~/.zshrc,"
  say "before compinit:"
  say "  fpath=($(quoted "$PREFIX/share/zsh/site-functions") \$fpath)"
}

quoted() { printf '%q' "$1"; }

# --- removing ----------------------------------------------------------------------------------

uninstall() {
  if [ ! -f "$ROOT/$LEDGER" ]; then
    die "nothing is installed in $ROOT by this script" "shell/install.sh --uninstall --prefix DIR, with the DIR it was given"
  fi
  local kind name ledger
  ledger=$(cat "$ROOT/$LEDGER")
  while read -r kind name; do
    if [ "$kind" != file ] || [ "$name" = "$LEDGER" ]; then continue; fi
    if [ ! -e "$ROOT/$name" ] && [ ! -L "$ROOT/$name" ]; then continue; fi
    rm -f "$ROOT/$name" || die "cannot remove $ROOT/$name" "run this again with the rights it takes, such as sudo's"
    say "removed $ROOT/$name"
  done <<<"$ledger"
  rm -f "$ROOT/$LEDGER"
  # The deepest first. What others have put something into stays.
  LC_ALL=C sort -r <<<"$ledger" | while read -r kind name; do
    # (No system removes one by the name of `.`.)
    if [ "$kind" = directory ]; then rmdir "$ROOT/${name#.}" 2>/dev/null || true; fi
  done
}

main "$@"
