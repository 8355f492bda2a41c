#!/usr/bin/env bash
# Makes what a release has once, from the archives of all targets: npm packages, a Homebrew formula, the installer and
# the checksums.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=machine.sh
. shell/machine.sh

DIR=target/packages
STAND_INS=0
TAG=""              # print the notes of this release
TARGETS="x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin"
TEMPLATES=shell/release

usage() {
  cat <<'USAGE'
Usage: LCLAUDE_REPOSITORY=https://github.com/OWNER/lclaude shell/release.sh [--stand-ins] [DIR]
       shell/release.sh --notes TAG

Adds to DIR (default: target/packages), in which shell/package.sh has put the archives of all targets:

  lclaude-VERSION.tgz, lclaude-PLATFORM-VERSION.tgz    npm packages
  lclaude.rb                                           Homebrew formula
  lclaude-install.sh                                   installer for other systems
  SHA256SUMS                                           checksums of all files in DIR

and lists the files of the release. It publishes nothing.

  --stand-ins  try it on one machine: use an archive that is there in place of each missing one
  --notes TAG  check that TAG is v and the version in Cargo.toml, and print what CHANGELOG.md says
               about it
  --help       show this help
USAGE
}

main() {
  # The order of names is the same everywhere.
  export LC_ALL=C
  umask 022
  read_own_options "$@"
  clean_up_at_exit
  VERSION=$(release_version)
  DESCRIPTION=$(package_field description)
  if [ -n "$TAG" ]; then
    print_notes
    return 0
  fi
  check_repository
  choose_date
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-release.XXXXXX")
  sed '/^# shellcheck/d' shell/place.sh >"$SCRATCH/place.sh"
  find_archives
  make_npm_packages
  stamp "$TEMPLATES/lclaude.rb" "$DIR/lclaude.rb"
  stamp "$TEMPLATES/lclaude-install.sh" "$DIR/lclaude-install.sh"
  chmod 755 "$DIR/lclaude-install.sh"
  write_checksums
  sed 's/^[0-9a-f]*  //' "$DIR/SHA256SUMS"
  echo SHA256SUMS
}

read_own_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --notes=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case "$1" in
      --stand-ins) STAND_INS=1 ;;
      --notes)
        TAG=${2:-}
        if [ -z "$TAG" ]; then misuse "--notes needs a value"; fi
        shift
        ;;
      --help | -h) usage; exit 0 ;;
      -*) misuse "unknown option: $1" ;;
      *) DIR=$(absolute "$1") ;;
    esac
    shift
  done
}

print_notes() {
  [ "$TAG" = "v$VERSION" ] || die "the tag is $TAG, but Cargo.toml has version $VERSION" "git tag v$VERSION"
  local notes
  # The text below the heading `## VERSION`, with or without a date.
  notes=$(awk -v version="$VERSION" '/^## / { found = $2 == version; next } found' CHANGELOG.md)
  if ! grep -q '[^[:space:]]' <<<"$notes"; then
    die "CHANGELOG.md has nothing about $VERSION" "rename its section Unreleased: ## $VERSION - $(date +%F)"
  fi
  printf '%s\n' "$notes"
}

# The address is in the formula, the installer and the npm packages, and nobody else knows it.
check_repository() {
  local help="LCLAUDE_REPOSITORY=https://github.com/OWNER/lclaude shell/release.sh"
  [ -n "${LCLAUDE_REPOSITORY:-}" ] || die "the address of the repository is unknown: LCLAUDE_REPOSITORY is not set" "$help"
  case "$LCLAUDE_REPOSITORY" in
    *[!A-Za-z0-9._~:/-]* | */) die "LCLAUDE_REPOSITORY is not a valid address: $LCLAUDE_REPOSITORY" "$help" ;;
    https://?*/?*) ;;
    *) die "LCLAUDE_REPOSITORY is not a valid address: $LCLAUDE_REPOSITORY" "$help" ;;
  esac
}

archive() { echo "$DIR/lclaude-$VERSION-$1.tar.gz"; }

# find_archives: unpacks the archives of all targets into SCRATCH
find_archives() {
  local target present=""
  for target in $TARGETS; do
    if [ -f "$(archive "$target")" ]; then present=$target; fi
  done
  for target in $TARGETS; do
    if [ ! -f "$(archive "$target")" ]; then
      if [ "$STAND_INS" = 0 ] || [ -z "$present" ]; then
        die "$(archive "$target") does not exist" "shell/package.sh --target $target archive" \
          "to try this on one machine: shell/release.sh --stand-ins"
      fi
      say "note: lclaude-$VERSION-$target.tar.gz is a copy of the archive for $present"
      stand_in "$present" "$target"
    fi
  done
  for target in $TARGETS; do
    tar -xzf "$(archive "$target")" -C "$SCRATCH"
    [ -x "$SCRATCH/lclaude-$VERSION-$target/bin/lclaude" ] ||
      die "$(archive "$target") has no bin/lclaude" "shell/package.sh --target $target archive"
  done
}

stand_in() {
  tar -xzf "$(archive "$1")" -C "$SCRATCH"
  mv "$SCRATCH/lclaude-$VERSION-$1" "$SCRATCH/lclaude-$VERSION-$2"
  pack "$SCRATCH" "lclaude-$VERSION-$2" "$(archive "$2")"
  rm -r "$SCRATCH/lclaude-$VERSION-$2"
}

# stamp TEMPLATE FILE: fills in the template
stamp() {
  local expressions target name description
  # sed gives a meaning to these, and so may bash.
  # shellcheck disable=SC2001
  description=$(sed 's/[&|\]/\\&/g' <<<"$DESCRIPTION")
  expressions=(-e "s|@VERSION@|$VERSION|g" -e "s|@REPOSITORY@|$LCLAUDE_REPOSITORY|g" -e "s|@DESCRIPTION@|$description|g"
    -e "s|@PLATFORM@|${PLATFORM:-}|g" -e "s|@OS@|${PLATFORM%-*}|g" -e "s|@CPU@|${PLATFORM#*-}|g")
  for target in $TARGETS; do
    name=$(tr 'a-z-' 'A-Z_' <<<"$target")
    expressions+=(-e "s|@SHA256_$name@|$(checksum "$(archive "$target")")|g")
  done
  sed -e '/^# shellcheck source/d' -e "/@PLACE@/r $SCRATCH/place.sh" -e '/@PLACE@/d' "${expressions[@]}" "$1" >"$2"
  if grep -n '@[A-Z0-9_]*@' "$2" >&2; then die "$1 has an unknown placeholder" "edit shell/release.sh"; fi
}

PLATFORM=""         # of the npm package that is being made

# The program is in one package for each platform, of which npm installs the right one. All else is in the main package.
make_npm_packages() {
  local target tree
  for target in $TARGETS; do
    case "$target" in
      x86_64-*-linux-*) PLATFORM=linux-x64 ;;
      aarch64-*-linux-*) PLATFORM=linux-arm64 ;;
      x86_64-apple-darwin) PLATFORM=darwin-x64 ;;
      aarch64-apple-darwin) PLATFORM=darwin-arm64 ;;
    esac
    tree=$SCRATCH/lclaude-$VERSION-$target
    start_npm_package platform.json
    cp "$tree/bin/lclaude" "$SCRATCH/package/bin"
    mkdir -p "$SCRATCH/package/share/lclaude"
    echo npm >"$SCRATCH/package/share/lclaude/installed-by"
    finish_npm_package "lclaude-$PLATFORM"
  done
  start_npm_package lclaude.json
  cp "$TEMPLATES/npm/bin/lclaude" "$SCRATCH/package/bin"
  cp -R "$tree/share" README.md "$SCRATCH/package"
  rm "$SCRATCH/package/share/lclaude/installed-by"
  finish_npm_package lclaude
}

start_npm_package() {
  mkdir -p "$SCRATCH/package/bin"
  cp LICENSE "$SCRATCH/package"
  stamp "$TEMPLATES/npm/$1" "$SCRATCH/package/package.json"
}

finish_npm_package() {
  pack "$SCRATCH" package "$DIR/$1-$VERSION.tgz"
  rm -r "$SCRATCH/package"
}

write_checksums() {
  local file
  rm -f "$DIR/SHA256SUMS"
  for file in "$DIR"/*; do
    if [ -f "$file" ]; then echo "$(checksum "$file")  ${file##*/}"; fi
  done >"$SCRATCH/SHA256SUMS"
  mv "$SCRATCH/SHA256SUMS" "$DIR/SHA256SUMS"
}

main "$@"
