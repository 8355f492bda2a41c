# shellcheck shell=bash
# What the scripts beside this one need to know of the machine: messages, packages, processes.
# Sourced, never run. Works with bash 3.2, which is what macOS has.

ASSUME_YES=${ASSUME_YES:-0}     # 1: the caller got --yes
PACKAGES_NEEDED=""              # Debian packages, by name
PACKAGES_WHY=""                 # the same, a line each with the reason

# --- messages ----------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

# complain WHAT HELP...: what went wrong, and what mends it
complain() {
  say "error: $1"
  shift
  local line
  for line in "$@"; do say "  help: $line"; done
}

die() {
  complain "$@"
  exit 1
}

# read_options OPTION...: the two that every script here understands; each has a `usage` of its own
read_options() {
  local option
  for option in "$@"; do
    case "$option" in
      --yes | -y) ASSUME_YES=1 ;;
      --help | -h) usage; exit 0 ;;
      *) complain "unknown option: $option" "shell/${0##*/} --help"; exit 64 ;;
    esac
  done
}

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# where_cargo_builds: the target directory, wherever the user's cargo settings put it
where_cargo_builds() {
  cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- Debian packages ---------------------------------------------------------------------------

# need_package DEBIAN_NAME WHY
need_package() {
  PACKAGES_NEEDED="$PACKAGES_NEEDED $1"
  PACKAGES_WHY="$PACKAGES_WHY  $1: $2
"
}

install_packages() {
  if [ -z "$PACKAGES_NEEDED" ]; then return 0; fi
  local root="" command
  if [ "$(id -u)" != 0 ]; then root="sudo "; fi
  command="${root}apt-get install -y --no-install-recommends$PACKAGES_NEEDED"
  say "Still needed on this machine:"
  printf '%s' "$PACKAGES_WHY" >&2
  if ! have apt-get; then no_apt_get; fi
  if [ -n "$root" ] && ! have sudo; then
    die "only root can install them, and there is no sudo here" "as root: ${command#sudo }"
  fi
  confirm "$command"
  # Package lists can be absent (a fresh container) or stale: only then fetch them.
  # shellcheck disable=SC2086 # $command and $root are meant to split into words
  DEBIAN_FRONTEND=noninteractive $command >&2 || {
    say "The package lists may be out of date; fetching them."
    ${root}apt-get update >&2 && DEBIAN_FRONTEND=noninteractive $command >&2
  } || die "the packages could not be installed" "$command"
  PACKAGES_NEEDED=""
}

no_apt_get() {
  if [ "$(uname -s)" = Darwin ]; then
    die "these have other names here" "xcode-select --install    (compiler and Python)" \
      "brew install${PACKAGES_NEEDED}    (anything else, where brew has it)"
  fi
  die "no apt-get here to install them with" "install them with this system's own tool, then run this again"
}

confirm() {
  if [ "$ASSUME_YES" = 1 ]; then return 0; fi
  if [ ! -t 0 ]; then
    die "packages are missing, and there is no terminal to ask on" "$1" "or run this again with --yes"
  fi
  local answer=""
  read -r -p "Run '$1' now? [y/N] " answer || true
  case "$answer" in
    y | Y | yes | Yes) ;;
    *) die "not without those packages" "$1" ;;
  esac
}

# --- what is running ---------------------------------------------------------------------------

# programs_under DIRECTORY...: "pid program" of each process whose program lies in one of them
programs_under() {
  local list pid program directory
  if [ -d /proc/self ]; then
    list=$(find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -printf '%h %l\n' 2>/dev/null || true)
  else
    list=$(ps -axo pid=,comm=)   # macOS: the program's whole path
  fi
  while read -r pid program; do
    for directory in "$@"; do
      case "$program" in "$directory"/*) echo "${pid#/proc/} $program" ;; esac
    done
  done <<<"$list"
}

# processes_naming TEXT: "pid arguments" of each process with TEXT in its arguments or environment
processes_naming() {
  local pid file
  if [ ! -d /proc/self ]; then
    # macOS: -E adds the environment. awk has the text in its own, so leave it out.
    ps -axEo pid=,command= | NEEDLE=$1 awk 'index($0, ENVIRON["NEEDLE"]) && !/NEEDLE=/' || true
    return 0
  fi
  # The text comes in on stdin, or grep would find itself.
  for file in $(grep -laF -f /dev/stdin /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null <<<"$1" || true); do
    pid=${file#/proc/}
    pid=${pid%/*}
    echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"
  done | sort -u
}

# gone_soon COMMAND...: waits up to two seconds until COMMAND prints nothing; prints what is left
gone_soon() {
  local left="" try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    left=$("$@")
    if [ -z "$left" ]; then return 0; fi
    if [ "$try" != 10 ]; then sleep 0.2; fi
  done
  printf '%s\n' "$left"
}
