#!/bin/sh
# Downloads lclaude @VERSION@, verifies its checksum and installs it under a prefix, or uninstalls it.
# shell/release.sh puts the version, the address and the checksums in.
#
# shellcheck disable=SC3043 # dash, BusyBox and all other shells that are /bin/sh somewhere have `local`
set -eu

VERSION=@VERSION@
FROM=${LCLAUDE_DOWNLOAD_URL:-@REPOSITORY@/releases/download/v@VERSION@}
INSTALLER="curl --proto '=https' --tlsv1.2 -LsSf @REPOSITORY@/releases/latest/download/lclaude-install.sh | sh"
PREFIX=${LCLAUDE_PREFIX:-${HOME:+$HOME/.local}}
LEDGER=share/lclaude/installed    # the installed files and created directories, as shell/install.sh writes it
SCRATCH=""                        # temporary directory with the download
HALF_WRITTEN=""                   # a file under its temporary name

usage() {
  cat <<'USAGE'
Usage: sh lclaude-install.sh [--prefix DIR] [--uninstall]

Downloads lclaude @VERSION@ for this system, verifies its checksum and installs it with completions
for bash, zsh and fish, a manual page, and hooks that make `claude` run lclaude in projects with a
.lclaude.toml. It doesn't edit your shell's files; it prints the lines to add.

  --prefix DIR   install under DIR (default: $LCLAUDE_PREFIX or ~/.local)
  --uninstall    remove exactly what was installed there
  --help         show this help

To download from a mirror, set LCLAUDE_DOWNLOAD_URL to the address of the folder with the archives.
USAGE
}

main() {
  local archive unpacked file
  read_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [ -n "$UNINSTALL" ]; then
    uninstall
    return 0
  fi
  find_target
  check_writable
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-install.XXXXXX")
  archive=lclaude-$VERSION-$TARGET.tar.gz
  say "Downloading $FROM/$archive"
  download "$FROM/$archive" "$SCRATCH/archive"
  verify "$SCRATCH/archive"
  tar -xzf "$SCRATCH/archive" -C "$SCRATCH" || die "the archive cannot be unpacked" "df -h $(quoted "$SCRATCH")"
  unpacked=$SCRATCH/lclaude-$VERSION-$TARGET
  # Programs in a temporary directory may be forbidden (noexec).
  if [ -x "$unpacked/bin/lclaude" ] && ! "$unpacked/bin/lclaude" local completions bash >"$SCRATCH/said" 2>&1; then
    die "lclaude doesn't run on this system: $(head -n 1 "$SCRATCH/said")" "uname -a"
  fi
  (cd "$unpacked" && find bin share -type f) | LC_ALL=C sort >"$SCRATCH/files"
  write_ledger
  while read -r file; do place "$unpacked/$file" "$file"; done <"$SCRATCH/files"
  farewell
}

# --- messages and options ----------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

# die WHAT HELP...: prints an error and how to fix it
die() {
  say "error: $1"
  shift
  for line in "$@"; do say "  help: $line"; done
  exit 1
}

misused() {
  say "error: $1"
  say "  help: sh lclaude-install.sh --help"
  exit 64
}

quoted() {
  case "$1" in
    *[!A-Za-z0-9_@%+=:,./-]* | "") printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

have() { command -v "$1" >/dev/null 2>&1; }

read_options() {
  UNINSTALL=""
  while [ $# -gt 0 ]; do
    case "$1" in
      --prefix)
        case "${2:-}" in "" | --*) misused "--prefix needs a value" ;; esac
        PREFIX=$2
        shift
        ;;
      --prefix=?*) PREFIX=${1#*=} ;;
      --prefix=) misused "--prefix needs a value" ;;
      --uninstall) UNINSTALL=1 ;;
      --help | -h) usage; exit 0 ;;
      *) misused "unknown option: $1" ;;
    esac
    shift
  done
  case "$PREFIX" in
    "") die "cannot choose a prefix: HOME is not set" "sh lclaude-install.sh --prefix DIR" ;;
    /*) ;;
    *) PREFIX=$PWD/$PREFIX ;;
  esac
  PREFIX=${PREFIX%/}
}

leave() {
  if [ -n "$HALF_WRITTEN" ]; then rm -f "$HALF_WRITTEN"; fi
  if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
}

# --- downloading -------------------------------------------------------------------------------

# Sets TARGET and CHECKSUM.
find_target() {
  local system machine
  system=$(uname -s)
  machine=$(uname -m)
  # Under Rosetta, uname says x86_64 on Apple Silicon too.
  if [ "$system $machine" = "Darwin x86_64" ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then
    machine=arm64
  fi
  case "$system $machine" in
    "Linux x86_64" | "Linux amd64") TARGET=x86_64-unknown-linux-musl CHECKSUM=@SHA256_X86_64_UNKNOWN_LINUX_MUSL@ ;;
    "Linux aarch64" | "Linux arm64") TARGET=aarch64-unknown-linux-musl CHECKSUM=@SHA256_AARCH64_UNKNOWN_LINUX_MUSL@ ;;
    "Darwin arm64") TARGET=aarch64-apple-darwin CHECKSUM=@SHA256_AARCH64_APPLE_DARWIN@ ;;
    "Darwin x86_64") TARGET=x86_64-apple-darwin CHECKSUM=@SHA256_X86_64_APPLE_DARWIN@ ;;
    MINGW* | MSYS* | CYGWIN* | Windows*)
      die "lclaude doesn't run on Windows itself" "wsl --install  # and run this inside WSL"
      ;;
    Linux* | Darwin*) die "there is no built lclaude for $system on $machine" "build it from source: @REPOSITORY@" ;;
    *) die "lclaude doesn't run on $system" "run this on Linux or macOS" ;;
  esac
}

# download URL FILE. A mirror may have any scheme, since the checksum is here.
download() {
  local code=0
  if have curl; then
    if [ -n "${LCLAUDE_DOWNLOAD_URL:-}" ]; then
      curl -LsSf -o "$2" "$1" || code=$?
    else
      curl --proto '=https' --tlsv1.2 -LsSf -o "$2" "$1" || code=$?
    fi
  elif have wget; then
    wget -q -O "$2" "$1" || code=$?
  else
    die "neither curl nor wget is installed" "install curl with your package manager, then run this again"
  fi
  if [ "$code" != 0 ]; then
    die "$1 cannot be downloaded" "check the network and the proxy, then run this again" \
      "or set LCLAUDE_DOWNLOAD_URL to the address of a mirror"
  fi
}

verify() {
  local found
  if have sha256sum; then
    found=$(sha256sum <"$1")
  elif have shasum; then
    found=$(shasum -a 256 <"$1")
  elif have openssl; then
    found=$(openssl dgst -sha256 -r <"$1")
  else
    die "the download cannot be verified: no sha256sum, shasum or openssl is installed" \
      "install openssl with your package manager, then run this again"
  fi
  found=${found%% *}
  if [ "$found" != "$CHECKSUM" ]; then
    die "the download has the wrong checksum: $found instead of $CHECKSUM; nothing was installed" \
      "run this again; if it fails again, a proxy or mirror is changing the file"
  fi
}

# --- installing --------------------------------------------------------------------------------

# Checks the nearest existing directory before a download.
check_writable() {
  local directory
  for directory in "$PREFIX/bin" "$PREFIX/share/lclaude"; do
    while [ ! -e "$directory" ]; do directory=$(dirname "$directory"); done
    if [ ! -d "$directory" ]; then
      die "cannot install into $directory: it is not a directory" "sh lclaude-install.sh --prefix /another/directory"
    fi
    if [ ! -w "$directory" ]; then
      die "cannot write to $directory" "sh lclaude-install.sh --prefix ~/.local" "or run this with sudo"
    fi
  done
}

# The ledger is written first, so that --uninstall can clean up after an interrupted installation.
write_ledger() {
  local directory file
  {
    if [ -f "$PREFIX/$LEDGER" ]; then cat "$PREFIX/$LEDGER"; fi
    { cat "$SCRATCH/files"; echo "$LEDGER"; } | while read -r file; do
      echo "file $file"
      directory=$(dirname "$file")
      while [ ! -d "$PREFIX/$directory" ]; do
        echo "directory $directory"
        if [ "$directory" = . ]; then break; fi
        directory=$(dirname "$directory")
      done
    done
  } | LC_ALL=C sort -u >"$SCRATCH/ledger"
  place "$SCRATCH/ledger" "$LEDGER"
}

# place FROM FILE: installs FILE with an atomic rename, so that a running lclaude keeps its own program file
place() {
  local to="$PREFIX/$2"
  mkdir -p "$(dirname "$to")" || die "cannot create $(dirname "$to")" "sh lclaude-install.sh --prefix /another/directory"
  HALF_WRITTEN=$(mktemp "$to.XXXXXX") || die "cannot write to $(dirname "$to")" "df -h $(quoted "$(dirname "$to")")"
  cp "$1" "$HALF_WRITTEN" || die "cannot write $to" "df -h $(quoted "$(dirname "$to")")"
  case "$2" in
    bin/*) chmod 755 "$HALF_WRITTEN" ;;
    *) chmod 644 "$HALF_WRITTEN" ;;
  esac
  mv -f "$HALF_WRITTEN" "$to"
  HALF_WRITTEN=""
  if [ "$2" != "$LEDGER" ]; then say "  $to"; fi
}

farewell() {
  local first options
  say ""
  case ":$PATH:" in
    *":$PREFIX/bin:"*)
      first=$(command -v lclaude || true)
      if [ "$first" != "$PREFIX/bin/lclaude" ]; then say "Another lclaude comes first on your PATH: $first"; fi
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
  say ""
  options=""
  if [ "$PREFIX" != "${HOME:-}/.local" ]; then options=" --prefix $(quoted "$PREFIX")"; fi
  say "To upgrade:    $INSTALLER${options:+ -s --$options}"
  say "To uninstall:  $INSTALLER -s -- --uninstall$options"
  say "To set up a backend and a model: lclaude local setup"
}

# --- uninstalling ------------------------------------------------------------------------------

uninstall() {
  local ledger kind name
  if [ ! -f "$PREFIX/$LEDGER" ]; then
    die "nothing is installed in $PREFIX by this script" "sh lclaude-install.sh --uninstall --prefix DIR"
  fi
  ledger=$(LC_ALL=C sort -r "$PREFIX/$LEDGER")
  printf '%s\n' "$ledger" | while read -r kind name; do
    if [ "$kind" != file ] || [ "$name" = "$LEDGER" ]; then continue; fi
    if [ ! -e "$PREFIX/$name" ] && [ ! -L "$PREFIX/$name" ]; then continue; fi
    rm -f "$PREFIX/$name" || die "cannot remove $PREFIX/$name" "run this again with sudo"
    say "removed $PREFIX/$name"
  done
  rm -f "$PREFIX/$LEDGER"
  # Deepest directories first. Those that hold other files stay.
  printf '%s\n' "$ledger" | while read -r kind name; do
    # (rmdir refuses a path that ends in `.`.)
    if [ "$kind" = directory ]; then rmdir "$PREFIX/${name#.}" 2>/dev/null || true; fi
  done
  kept
}

# kept: says which files of the user's remain, and how to remove them
kept() {
  local found="" directory
  if [ -z "${HOME:-}" ]; then return 0; fi
  for directory in "${XDG_CONFIG_HOME:-$HOME/.config}" "${XDG_STATE_HOME:-$HOME/.local/state}" \
    "${XDG_CACHE_HOME:-$HOME/.cache}"; do
    if [ -d "$directory/lclaude" ]; then found="$found $(quoted "$directory/lclaude")"; fi
  done
  if [ -n "$found" ]; then say "Your configuration, logs and cache are kept. To remove them: rm -r$found"; fi
}

# The braces keep a download that was cut off from running.
{ main "$@"; }
