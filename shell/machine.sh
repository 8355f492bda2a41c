# shellcheck shell=bash
# Functions shared by the scripts in this directory: messages, packages, processes.
# Sourced, never run. Works with bash 3.2, the version in macOS.

ASSUME_YES=${ASSUME_YES:-0}     # 1: --yes was given
PACKAGES_NEEDED=""              # names of Debian packages
PACKAGES_WHY=""                 # one line per package, with the reason

STARTED_IN=${OLDPWD:-$PWD}      # a script changes into the checkout before it sources this file
SELF=shell/${0##*/}
# shellcheck source-path=SCRIPTDIR source=place.sh
. shell/place.sh

# --- options and versions ----------------------------------------------------------------------

# read_options OPTION...: parses the options of most scripts; each script defines its own `usage`
read_options() {
  local option
  for option in "$@"; do
    case "$option" in
      --yes | -y) ASSUME_YES=1 ;;
      --help | -h) usage; exit 0 ;;
      *) misuse "unknown option: $option" ;;
    esac
  done
}

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# check_cargo WHY: dies with this reason unless cargo runs and is new enough for Cargo.toml's rust-version
check_cargo() {
  local install="install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" version wanted
  have cargo || die "cargo is not installed, so $1" "$install" "or see https://rustup.rs"
  wanted=$(oldest_rust)
  version=$(cargo --version) || die "cargo does not run, so $1" "rustup toolchain install stable" "$install"
  version=${version#cargo }
  version=${version%%[ -]*}
  if is_older "$version" "$wanted"; then
    die "cargo $version is too old, so $1: Rust $wanted or later is needed" "rustup update stable" "$install"
  fi
}

# oldest_rust: prints the oldest version of Rust that lclaude supports
oldest_rust() { package_field rust-version; }

# package_field NAME: prints what Cargo.toml says about the package, such as its version
package_field() { sed -n "/^$1 = /{s/^$1 = \"\(.*\)\"\$/\1/p;q;}" Cargo.toml; }

# is_older VERSION OTHER: compares the first two numbers of versions such as 1.89.0
is_older() {
  local major=${1%%.*} minor=${1#*.} other_major=${2%%.*} other_minor=${2#*.}
  minor=${minor%%.*} other_minor=${other_minor%%.*}
  case "$major$minor$other_major$other_minor" in *[!0-9]* | "") return 1 ;; esac
  [ "$major" -lt "$other_major" ] || { [ "$major" -eq "$other_major" ] && [ "$minor" -lt "$other_minor" ]; }
}

# where_cargo_builds: prints cargo's target directory, which the user's cargo settings may change
where_cargo_builds() {
  cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# --- Debian packages ---------------------------------------------------------------------------

# need_package DEBIAN_NAME WHY
need_package() {
  PACKAGES_NEEDED="$PACKAGES_NEEDED $1"
  PACKAGES_WHY="$PACKAGES_WHY  $1: $2
"
}

install_packages() {
  if [ -z "$PACKAGES_NEEDED" ]; then return 0; fi
  local root command
  root=$(as_root)
  command="${root}apt-get install -y --no-install-recommends$PACKAGES_NEEDED"
  say "Missing packages:"
  printf '%s' "$PACKAGES_WHY" >&2
  if ! have apt-get; then no_apt_get; fi
  if [ -n "$root" ] && ! have sudo; then
    die "cannot install packages: sudo is missing" "as root: ${command#sudo }"
  fi
  confirm "$command"
  # Fetch the package lists only if they are missing (a fresh container) or stale.
  # shellcheck disable=SC2086 # $command and $root are meant to split into words
  DEBIAN_FRONTEND=noninteractive $command >&2 || {
    say "The package lists may be out of date; updating them"
    ${root}apt-get update >&2 && DEBIAN_FRONTEND=noninteractive $command >&2
  } || die "the packages could not be installed" "$command"
  PACKAGES_NEEDED=""
}

# as_root: prints what a command for root begins with
as_root() { if [ "$(id -u)" != 0 ]; then echo "sudo "; fi; }

# install_command PACKAGE: prints the command that installs a package
install_command() { if [ "$(uname -s)" = Darwin ]; then echo "brew install $1"; else echo "$(as_root)apt-get install $1"; fi; }

no_apt_get() {
  if [ "$(uname -s)" = Darwin ]; then
    die "cannot install packages on macOS; install them yourself" "for the compiler and Python: xcode-select --install" \
      "for other packages: brew install${PACKAGES_NEEDED}"
  fi
  die "cannot install packages: apt-get is missing" "install them with your package manager, then run this again"
}

confirm() {
  if [ "$ASSUME_YES" = 1 ]; then return 0; fi
  if [ ! -t 0 ]; then
    die "packages are missing, and there is no terminal to ask" "$1" "or run this again with --yes"
  fi
  local answer=""
  read -r -p "Run '$1' now? [y/N] " answer || true
  case "$answer" in
    y | Y | yes | Yes) ;;
    *) die "the missing packages are required" "$1" ;;
  esac
}

# --- packages of a release ---------------------------------------------------------------------

# Prints the version, which all formats of packages must sort in the same way.
release_version() {
  local version
  version=$(package_field version)
  case "$version" in
    *-*) die "version $version is a pre-release, and no packages are made of those" "in Cargo.toml: version = \"${version%%-*}\"" ;;
  esac
  echo "$version"
}

# Sets SOURCE_DATE_EPOCH, the date of all files in the packages, to the time of the last commit unless it is set.
choose_date() {
  if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
      die "the date of the packages is unknown: this isn't a git checkout" "export SOURCE_DATE_EPOCH=$(date +%s)"
  fi
  export SOURCE_DATE_EPOCH
}

# date_as FORMAT: prints SOURCE_DATE_EPOCH; GNU's date comes first, then BSD's
date_as() {
  LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" "+$1" 2>/dev/null || LC_ALL=C date -u -r "$SOURCE_DATE_EPOCH" "+$1"
}

# set_dates DIRECTORY: gives everything below it the date of the packages
set_dates() { find "$1" -exec env TZ=UTC touch -t "$(date_as %Y%m%d%H%M.%S)" {} +; }

# pack PARENT NAME FILE: packs the directory NAME of PARENT into FILE, the same bytes for the same files
pack() {
  local owner
  set_dates "$1/$2"
  # Only what GNU's tar and macOS's have. Neither sorts in the same way, so find and sort do.
  case "$(tar --version)" in
    *bsdtar*) owner="--uid 0 --gid 0" ;;
    *) owner="--owner=0 --group=0" ;;
  esac
  # macOS's tar would add a file with extended attributes for each file.
  # shellcheck disable=SC2086 # $owner is meant to split into words
  (cd "$1" && find "$2" | LC_ALL=C sort |
    COPYFILE_DISABLE=1 tar --format ustar --numeric-owner $owner --no-recursion -cf - -T -) |
    gzip -9n >"$3.new"
  mv -f "$3.new" "$3"
}

# --- processes ---------------------------------------------------------------------------------

# programs_under DIRECTORY...: prints "pid program" for each process whose program is in one of these directories
programs_under() {
  local list pid program directory
  if [ -d /proc/self ]; then
    list=$(find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -printf '%h %l\n' 2>/dev/null || true)
  else
    list=$(ps -axo pid=,comm=)   # macOS prints the program's full path
  fi
  while read -r pid program; do
    for directory in "$@"; do
      case "$program" in "$directory"/*) echo "${pid#/proc/} $program" ;; esac
    done
  done <<<"$list"
}

# processes_naming TEXT: prints "pid arguments" for each process with TEXT in its arguments or environment
processes_naming() {
  local pid file
  if [ ! -d /proc/self ]; then
    # On macOS, -E adds the environment. Leave out awk, whose own environment contains the text.
    ps -axEo pid=,command= | NEEDLE=$1 awk 'index($0, ENVIRON["NEEDLE"]) && !/NEEDLE=/' || true
    return 0
  fi
  # Pass the text on stdin, or grep would find itself.
  for file in $(grep -laF -f /dev/stdin /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null <<<"$1" || true); do
    pid=${file#/proc/}
    pid=${pid%/*}
    echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"
  done | sort -u
}

# gone_soon COMMAND...: waits up to two seconds until COMMAND prints nothing, then prints its last output
gone_soon() {
  local left="" try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    left=$("$@")
    if [ -z "$left" ]; then return 0; fi
    if [ "$try" != 10 ]; then sleep 0.2; fi
  done
  printf '%s\n' "$left"
}
