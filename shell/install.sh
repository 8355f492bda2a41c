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
ROOT=""             # where the files go: DESTDIR and the prefix
LEDGER=share/lclaude/installed    # the installed files and created directories, for --uninstall
SCRATCH=""          # temporary directory with the files to install
HALF_WRITTEN=""     # a file under its temporary name

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
  # A package manager keeps its own list.
  if [ -z "${DESTDIR:-}" ]; then write_ledger; fi
  local file
  for file in $(list_files); do place "$file"; done
  farewell
}

read_own_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --prefix | --binary | --texts-from)
        case "${2:-}" in
          "" | --*) complain "$1 needs a value" "shell/install.sh --help"; exit 64 ;;
        esac
        case "$1" in
          --prefix) PREFIX=$(absolute "$2") ;;
          --binary) BINARY=$(absolute "$2") ;;
          --texts-from) TEXTS_FROM=$(absolute "$2") ;;
        esac
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
    *) die "cannot choose a prefix: HOME is not set" "shell/install.sh --prefix DIR" ;;
  esac
  PREFIX=${PREFIX%/}
}

# Resolves a path against the user's working directory, because this script changes its own.
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

# Checks for each file that the nearest existing directory is writable, before a build that takes a minute.
check_writable() {
  local file directory
  for file in $(list_files); do
    directory=$(dirname "$ROOT/$file")
    while [ ! -e "$directory" ]; do directory=$(dirname "$directory"); done
    if [ ! -d "$directory" ]; then
      die "cannot install into $directory: it is not a directory" "shell/install.sh --prefix /another/directory"
    fi
    if [ ! -w "$directory" ]; then
      die "cannot write to $directory" "shell/install.sh --prefix ~/.local" "or run this with sudo"
    fi
    if [ -d "$ROOT/$file" ]; then
      die "cannot replace $ROOT/$file: it is a directory" "shell/install.sh --prefix /another/directory"
    fi
  done
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
  for file in $(list_files); do mkdir -p "$SCRATCH/$(dirname "$file")"; done
  cp "$BINARY" "$SCRATCH/bin/lclaude"
  chmod 755 "$SCRATCH/bin/lclaude"
  print_own share/man/man1/lclaude.1 man
  print_own share/bash-completion/completions/lclaude completions bash
  print_own share/zsh/site-functions/_lclaude completions zsh
  print_own share/fish/vendor_completions.d/lclaude.fish completions fish
  for shell in bash zsh fish; do print_own "share/lclaude/lclaude.$shell" completions "$shell" --hook; done
  printf '%s\n' "${LCLAUDE_INSTALLED_BY:-source}" >"$SCRATCH/share/lclaude/installed-by"
}

# print_own FILE VERB...: writes what the program prints to FILE
print_own() {
  local file=$SCRATCH/$1
  shift
  if "${TEXTS_FROM:-$SCRATCH/bin/lclaude}" local "$@" >"$file" && [ -s "$file" ]; then return 0; fi
  die "${TEXTS_FROM:-$BINARY} is not a working lclaude" "build and install lclaude: shell/install.sh"
}

# The ledger is written first, so that --uninstall can clean up after an interrupted installation.
write_ledger() {
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

# place FILE: installs FILE with an atomic rename, so that a running lclaude keeps its own program file
place() {
  local to=$ROOT/$1
  mkdir -p "$(dirname "$to")" || die "cannot create $(dirname "$to")" "shell/install.sh --prefix /another/directory"
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
    *) say "$PREFIX/bin is not on your PATH. Add to ~/.profile or your shell's startup file:"
      say "  export PATH=$(quoted "$PREFIX/bin"):\$PATH" ;;
  esac
  say "To make \`claude\` run lclaude in projects with a .lclaude.toml, add to"
  say "  ~/.bashrc                   . $(quoted "$PREFIX/share/lclaude/lclaude.bash")"
  say "  ~/.zshrc                    . $(quoted "$PREFIX/share/lclaude/lclaude.zsh")"
  say "  ~/.config/fish/config.fish  source $(quoted "$PREFIX/share/lclaude/lclaude.fish")"
  say "bash (with the bash-completion package) and fish load the completions automatically. For zsh, add to ~/.zshrc,"
  say "before compinit:"
  say "  fpath=($(quoted "$PREFIX/share/zsh/site-functions") \$fpath)"
  if [ -n "${DESTDIR:-}" ]; then return 0; fi
  say ""
  say "To upgrade:    git pull && ./shell/install.sh$(prefix_option)"
  say "To uninstall:  ./shell/install.sh --uninstall$(prefix_option)"
  say "To set up a backend and a model: lclaude local setup"
}

# prefix_option: prints the option that selects this prefix, unless it is the default
prefix_option() {
  if [ "$PREFIX" != "${HOME:-}/.local" ]; then printf ' --prefix %q' "$PREFIX"; fi
}

quoted() { printf '%q' "$1"; }

# --- uninstalling ------------------------------------------------------------------------------

uninstall() {
  if [ ! -f "$ROOT/$LEDGER" ]; then
    die "nothing is installed in $ROOT by this script" "shell/install.sh --uninstall --prefix DIR"
  fi
  local kind name ledger
  ledger=$(cat "$ROOT/$LEDGER")
  while read -r kind name; do
    if [ "$kind" != file ] || [ "$name" = "$LEDGER" ]; then continue; fi
    if [ ! -e "$ROOT/$name" ] && [ ! -L "$ROOT/$name" ]; then continue; fi
    rm -f "$ROOT/$name" || die "cannot remove $ROOT/$name" "run this again with sudo"
    say "removed $ROOT/$name"
  done <<<"$ledger"
  rm -f "$ROOT/$LEDGER"
  # Deepest directories first. Those that hold other files stay.
  LC_ALL=C sort -r <<<"$ledger" | while read -r kind name; do
    # (rmdir refuses a path that ends in `.`.)
    if [ "$kind" = directory ]; then rmdir "$ROOT/${name#.}" 2>/dev/null || true; fi
  done
  kept
}

# kept: says which files of the user's remain, and how to remove them
kept() {
  if [ -n "${DESTDIR:-}" ] || [ -z "${HOME:-}" ]; then return 0; fi
  local directory found=""
  for directory in "${XDG_CONFIG_HOME:-$HOME/.config}" "${XDG_STATE_HOME:-$HOME/.local/state}" \
    "${XDG_CACHE_HOME:-$HOME/.cache}"; do
    if [ -d "$directory/lclaude" ]; then found="$found $(quoted "$directory/lclaude")"; fi
  done
  if [ -n "$found" ]; then say "Your configuration, logs and cache are kept. To remove them: rm -r$found"; fi
}

main "$@"
