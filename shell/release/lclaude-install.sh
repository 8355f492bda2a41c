#!/bin/sh
# Downloads lclaude @VERSION@, verifies its checksum and installs it under a prefix, or uninstalls it.
# shell/release.sh puts the version, the address and the checksums in.
#
# shellcheck disable=SC3043 # dash, BusyBox and all other shells that are /bin/sh somewhere have `local`
set -eu

VERSION=@VERSION@
FROM=${LCLAUDE_DOWNLOAD_URL:-@REPOSITORY@/releases/download/v@VERSION@}
INSTALLER="curl --proto '=https' --tlsv1.2 -LsSf @REPOSITORY@/releases/latest/download/lclaude-install.sh | sh"
SELF="sh lclaude-install.sh"
STARTED_IN=$PWD
# shellcheck source-path=SCRIPTDIR/../.. source=shell/place.sh
. shell/place.sh # @PLACE@

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
  local archive tree
  read_options "$@"
  clean_up_at_exit
  ROOT=$PREFIX
  if [ -n "$UNINSTALL" ]; then
    uninstall
    return 0
  fi
  find_target
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-install.XXXXXX")
  # The other files are known after the download.
  echo bin/lclaude >"$SCRATCH/files"
  check_writable
  archive=lclaude-$VERSION-$TARGET.tar.gz
  say "Downloading $FROM/$archive"
  download "$FROM/$archive" "$SCRATCH/archive"
  verify "$SCRATCH/archive"
  tar -xzf "$SCRATCH/archive" -C "$SCRATCH" || die "the archive cannot be unpacked" "df -h $(quoted "$SCRATCH")"
  tree=$SCRATCH/lclaude-$VERSION-$TARGET
  # Programs in a temporary directory may be forbidden (noexec).
  if [ -x "$tree/bin/lclaude" ] && ! "$tree/bin/lclaude" local completions bash >"$SCRATCH/said" 2>&1; then
    die "lclaude doesn't run on this system: $(head -n 1 "$SCRATCH/said")" "uname -a"
  fi
  (cd "$tree" && find bin share -type f) | LC_ALL=C sort >"$SCRATCH/files"
  place_files "$tree"
  if [ -n "$(prefix_option)" ]; then
    next_steps "$INSTALLER -s --$(prefix_option)" "$INSTALLER -s -- --uninstall$(prefix_option)"
  else
    next_steps "$INSTALLER" "$INSTALLER -s -- --uninstall"
  fi
}

read_options() {
  PREFIX=${LCLAUDE_PREFIX:-${HOME:+$HOME/.local}}
  UNINSTALL=""
  while [ $# -gt 0 ]; do
    case "$1" in
      --prefix)
        case "${2:-}" in "" | --*) misuse "--prefix needs a value" ;; esac
        PREFIX=$2
        shift
        ;;
      --prefix=?*) PREFIX=${1#*=} ;;
      --prefix=) misuse "--prefix needs a value" ;;
      --uninstall) UNINSTALL=1 ;;
      --help | -h) usage; exit 0 ;;
      *) misuse "unknown option: $1" ;;
    esac
    shift
  done
  choose_prefix "$PREFIX"
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
  found=$(checksum "$1")
  if [ "$found" != "$CHECKSUM" ]; then
    die "the download has the wrong checksum: $found instead of $CHECKSUM; nothing was installed" \
      "run this again; if it fails again, a proxy or mirror is changing the file"
  fi
}

# The braces keep a download that was cut off from running.
{ main "$@"; }
