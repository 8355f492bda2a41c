# shellcheck shell=sh disable=SC3043 # dash, BusyBox and all other shells that are /bin/sh somewhere have `local`
# Messages, and placing files under a prefix: what the scripts in this directory and the installer of a release have in
# common. shell/machine.sh sources this file, and shell/release.sh copies it into the installer. Works with every sh.

ROOT=""                           # where the files go: DESTDIR and the prefix
LEDGER=share/lclaude/installed    # the installed files and created directories, for --uninstall
SCRATCH=""                        # temporary directory
HALF_WRITTEN=""                   # a file under its temporary name

# --- messages ----------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

# complain WHAT HELP...: prints an error and how to fix it
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

# misuse WHAT: reports a wrong option. SELF is how the user runs this script.
misuse() {
  complain "$1" "$SELF --help"
  exit 64
}

quoted() {
  case "$1" in
    *[!A-Za-z0-9_@%+=:,./-]* | "") printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

have() { command -v "$1" >/dev/null 2>&1; }

# absolute PATH: resolves a path against the user's working directory STARTED_IN, because scripts change their own
absolute() {
  case "$1" in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$STARTED_IN/$1" ;;
  esac
}

# checksum FILE: prints the SHA-256
checksum() {
  local sum
  if have sha256sum; then
    sum=$(sha256sum <"$1")
  elif have shasum; then
    sum=$(shasum -a 256 <"$1")
  elif have openssl; then
    sum=$(openssl dgst -sha256 -r <"$1")
  else
    die "checksums cannot be verified: no sha256sum, shasum or openssl is installed" \
      "install openssl with your package manager, then run this again"
  fi
  printf '%s\n' "${sum%% *}"
}

clean_up_at_exit() {
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

leave() {
  if [ -n "$HALF_WRITTEN" ]; then rm -f "$HALF_WRITTEN"; fi
  if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
}

# --- installing --------------------------------------------------------------------------------

# choose_prefix DIR: sets PREFIX
choose_prefix() {
  [ -n "$1" ] || die "cannot choose a prefix: HOME is not set" "$SELF --prefix DIR"
  PREFIX=$(absolute "$1")
  PREFIX=${PREFIX%/}
}

# Checks that each file of the list $SCRATCH/files can be placed, before any of them is.
check_writable() {
  local file directory
  { cat "$SCRATCH/files"; echo "$LEDGER"; } >"$SCRATCH/wanted"
  while read -r file; do
    directory=$(dirname "$ROOT/$file")
    while [ ! -e "$directory" ] && [ ! -L "$directory" ]; do directory=$(dirname "$directory"); done
    if [ ! -d "$directory" ]; then
      die "cannot install into $directory: it is not a directory" "$SELF --prefix /another/directory"
    fi
    if [ ! -w "$directory" ]; then die "cannot write to $directory" "$SELF --prefix ~/.local" "or run this with sudo"; fi
    if [ -d "$ROOT/$file" ]; then
      die "cannot replace $ROOT/$file: it is a directory" "$SELF --prefix /another/directory"
    fi
  done <"$SCRATCH/wanted"
}

# place_files TREE: places the files of the list from below TREE
place_files() {
  local file
  check_writable
  # A package manager keeps its own list.
  if [ "$ROOT" = "$PREFIX" ]; then write_ledger; fi
  while read -r file; do place "$1/$file" "$file"; done <"$SCRATCH/files"
}

# The ledger is written first, so that --uninstall can clean up after an interrupted installation.
write_ledger() {
  local file directory
  {
    if [ -f "$ROOT/$LEDGER" ]; then cat "$ROOT/$LEDGER"; fi
    while read -r file; do
      echo "file $file"
      directory=$(dirname "$file")
      while [ ! -d "$ROOT/$directory" ]; do
        echo "directory $directory"
        if [ "$directory" = . ]; then break; fi
        directory=$(dirname "$directory")
      done
    done <"$SCRATCH/wanted"
  } | LC_ALL=C sort -u >"$SCRATCH/ledger"
  place "$SCRATCH/ledger" "$LEDGER"
}

# place FROM FILE: installs FILE with an atomic rename, so that a running lclaude keeps its own program file
place() {
  local to="$ROOT/$2" directory
  directory=$(dirname "$to")
  mkdir -p "$directory" || die "cannot create $directory" "$SELF --prefix /another/directory"
  HALF_WRITTEN=$(mktemp "$to.XXXXXX") || die "cannot write to $directory" "df -h $(quoted "$directory")"
  cp "$1" "$HALF_WRITTEN" || die "cannot write $to" "df -h $(quoted "$directory")"
  case "$2" in
    bin/*) chmod 755 "$HALF_WRITTEN" ;;
    *) chmod 644 "$HALF_WRITTEN" ;;
  esac
  mv -f "$HALF_WRITTEN" "$to"
  HALF_WRITTEN=""
  if [ "$2" != "$LEDGER" ]; then say "  $to"; fi
}

# next_steps UPGRADE UNINSTALL: prints the lines to add to the shell's files, and these commands
next_steps() {
  local first
  say ""
  case ":$PATH:" in
    *":$PREFIX/bin:"*)
      first=$(command -v lclaude || true)
      if [ "$ROOT" = "$PREFIX" ] && [ "$first" != "$PREFIX/bin/lclaude" ]; then
        say "Another lclaude comes first on your PATH: $first"
        say "  help: remove it, or put $(quoted "$PREFIX/bin") before its directory on your PATH"
      fi
      ;;
    *)
      say "$PREFIX/bin is not on your PATH. Add to ~/.profile or your shell's startup file:"
      say "  export PATH=$(quoted "$PREFIX/bin"):\$PATH"
      ;;
  esac
  say "To make \`claude\` run lclaude in projects with a .lclaude.toml, add to"
  say "  ~/.bashrc                   . $(quoted "$PREFIX/share/lclaude/lclaude.bash")"
  say "  ~/.zshrc                    . $(quoted "$PREFIX/share/lclaude/lclaude.zsh")"
  say "  ~/.config/fish/config.fish  source $(quoted "$PREFIX/share/lclaude/lclaude.fish")"
  say "bash (with the bash-completion package) and fish load the completions automatically. For zsh, add to ~/.zshrc,"
  say "before compinit:"
  say "  fpath=($(quoted "$PREFIX/share/zsh/site-functions") \$fpath)"
  if [ "$ROOT" != "$PREFIX" ]; then return 0; fi
  say ""
  say "To upgrade:    $1"
  say "To uninstall:  $2"
  say "To set up a backend and a model: lclaude local setup"
}

# prefix_option: prints the option that selects this prefix, unless it is the default
prefix_option() {
  if [ "$PREFIX" != "${HOME:-}/.local" ]; then printf ' --prefix %s' "$(quoted "$PREFIX")"; fi
}

# --- uninstalling ------------------------------------------------------------------------------

uninstall() {
  local ledger kind name
  if [ ! -f "$ROOT/$LEDGER" ]; then
    die "nothing is installed in $ROOT by this script" "$SELF --uninstall --prefix DIR"
  fi
  ledger=$(LC_ALL=C sort -r "$ROOT/$LEDGER")
  printf '%s\n' "$ledger" | while read -r kind name; do
    if [ "$kind" != file ] || [ "$name" = "$LEDGER" ]; then continue; fi
    if [ ! -e "$ROOT/$name" ] && [ ! -L "$ROOT/$name" ]; then continue; fi
    rm -f "$ROOT/$name" || die "cannot remove $ROOT/$name" "run this again with sudo"
    say "removed $ROOT/$name"
  done
  rm -f "$ROOT/$LEDGER"
  # Deepest directories first. Those that hold other files stay.
  printf '%s\n' "$ledger" | while read -r kind name; do
    # (rmdir refuses a path that ends in `.`.)
    if [ "$kind" = directory ]; then rmdir "$ROOT/${name#.}" 2>/dev/null || true; fi
  done
  if [ "$ROOT" = "$PREFIX" ]; then kept; fi
}

# kept: says which files of the user's remain, and how to remove them
kept() {
  local directory found=""
  if [ -z "${HOME:-}" ]; then return 0; fi
  for directory in "${XDG_CONFIG_HOME:-$HOME/.config}" "${XDG_STATE_HOME:-$HOME/.local/state}" \
    "${XDG_CACHE_HOME:-$HOME/.cache}"; do
    if [ -d "$directory/lclaude" ]; then found="$found $(quoted "$directory/lclaude")"; fi
  done
  if [ -n "$found" ]; then say "Your configuration, logs and cache are kept. To remove them: rm -r$found"; fi
}
