#!/usr/bin/env bash
# Makes the packages of one target: the archive, and for Linux the .deb and the .rpm. All have the files
# that shell/install.sh installs, and two runs on the same commit make the same bytes.
set -euo pipefail

cd -- "$(dirname -- "$0")/.." >/dev/null
# shellcheck source-path=SCRIPTDIR source=machine.sh
. shell/machine.sh

MAX_SIZE=8000000    # bytes of a release binary
TARGET=""
BINARY=""           # an lclaude that is already built
TEXTS_FROM=""       # an lclaude that runs here and prints the manual page and the completions
OUT=target/packages
KINDS=""
SCRATCH=""          # temporary directory with the trees that are packed
SUMMARY="Run Claude Code on a local model"
# lclaude has no address yet, and Debian's format wants one.
MAINTAINER="The lclaude authors <${LCLAUDE_MAINTAINER:-nobody@lclaude.invalid}>"

usage() {
  cat <<'USAGE'
Usage: shell/package.sh --target TRIPLE [--binary FILE] [--out DIR] [archive|deb|rpm]...

Builds lclaude for TRIPLE, such as x86_64-unknown-linux-musl, and packs it with the manual page,
completions and hooks. Prints the paths of the packages. Without a kind it makes all that TRIPLE has:

  archive  lclaude-VERSION-TRIPLE.tar.gz, for every system
  deb      for Debian and Ubuntu; needs dpkg-deb
  rpm      for Fedora and openSUSE; needs rpmbuild, which Debian has in the package rpm

  --target TRIPLE    the platform, as rustc names it
  --binary FILE      pack this lclaude instead of building one
  --texts-from FILE  let this lclaude print the manual page and completions, if the packed one can't
                     run on this machine (default: build one)
  --out DIR          where the packages go (default: target/packages)
  --help             show this help

The files are dated SOURCE_DATE_EPOCH (default: the time of the last commit).
USAGE
}

main() {
  read_own_options "$@"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  # The packages have the permissions that everybody needs, whatever the user's own umask is.
  umask 022
  VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  check_packagers
  choose_date
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/lclaude-package.XXXXXX")
  if [ -z "$BINARY" ]; then build; fi
  check_binary
  if [ -z "$TEXTS_FROM" ]; then choose_texts; fi
  mkdir -p "$OUT" "$SCRATCH/done" || die "cannot create $OUT" "shell/package.sh --target $TARGET --out DIR"
  local kind file
  for kind in $KINDS; do "make_$kind"; done
  for file in "$SCRATCH/done"/*; do
    mv -f "$file" "$OUT/" || die "cannot write to $OUT" "df -h $OUT"
    echo "$OUT/${file##*/}"
  done
}

read_own_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --target | --binary | --texts-from | --out)
        case "${2:-}" in
          "" | --*) complain "$1 needs a value" "shell/package.sh --help"; exit 64 ;;
        esac
        case "$1" in
          --target) TARGET=$2 ;;
          --binary) BINARY=$(absolute "$2") ;;
          --texts-from) TEXTS_FROM=$(absolute "$2") ;;
          --out) OUT=$(absolute "$2") ;;
        esac
        shift
        ;;
      archive | deb | rpm) KINDS="$KINDS $1" ;;
      *) read_options "$1" ;;
    esac
    shift
  done
  case "$TARGET" in
    x86_64-unknown-linux-* | aarch64-unknown-linux-*) KINDS=${KINDS:-archive deb rpm} ;;
    x86_64-apple-darwin | aarch64-apple-darwin)
      case "$KINDS" in
        *deb* | *rpm*) complain "macOS has no .deb and no .rpm" "shell/package.sh --target $TARGET archive"; exit 64 ;;
      esac
      KINDS=archive
      ;;
    "") complain "--target is missing" "shell/package.sh --target x86_64-unknown-linux-musl"; exit 64 ;;
    *) complain "no packages are made for $TARGET" "shell/package.sh --target x86_64-unknown-linux-musl"; exit 64 ;;
  esac
}

# Resolves a path against the user's working directory, because this script changes its own.
absolute() {
  case "$1" in
    /*) echo "$1" ;;
    *) echo "${OLDPWD:-$PWD}/$1" ;;
  esac
}

leave() {
  if [ -n "$SCRATCH" ]; then rm -rf "$SCRATCH"; fi
}

# --- the program -------------------------------------------------------------------------------

# Checks for what the packages are made with, before a build that takes minutes.
check_packagers() {
  local kind program package
  for kind in $KINDS; do
    case "$kind" in
      deb) program=dpkg-deb package=dpkg ;;
      rpm) program=rpmbuild package=rpm ;;
      *) continue ;;
    esac
    have "$program" || die "$program is not installed, so no .$kind can be made" "apt-get install $package" \
      "or make the archive only: shell/package.sh --target $TARGET archive"
  done
}

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

build() {
  check_cargo "lclaude cannot be built"
  say "Building lclaude for $TARGET"
  # Panic messages have the paths of source files, which would name this machine's user.
  local flags="--remap-path-prefix=${CARGO_HOME:-${HOME:?}/.cargo}=cargo"
  flags="$flags --remap-path-prefix=$(rustc --print sysroot)=rust --remap-path-prefix=$PWD=lclaude"
  RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$flags" cargo build --release --locked --bin lclaude --target "$TARGET"
  BINARY=$(where_cargo_builds)/$TARGET/release/lclaude
  local size
  size=$(wc -c <"$BINARY" | tr -d ' ')
  if [ "$size" -gt "$MAX_SIZE" ]; then
    die "$BINARY has $size bytes, more than the limit of $MAX_SIZE" "find what grew: cargo bloat --release --crates"
  fi
}

# Checks that the program is for the target, and that it needs no library where it is meant to be static.
check_binary() {
  [ -f "$BINARY" ] || die "$BINARY does not exist" "build and pack lclaude: shell/package.sh --target $TARGET"
  local want
  case "$TARGET" in
    x86_64-*-linux-*) want=7f454c46-3e00 ;;
    aarch64-*-linux-*) want=7f454c46-b700 ;;
    x86_64-apple-*) want=cffaedfe-07000001 ;;
    aarch64-apple-*) want=cffaedfe-0c000001 ;;
  esac
  # The architecture comes after the magic number in Mach-O, and at 18 in ELF.
  case "$(bytes 0 4)-$(bytes 4 4) $(bytes 0 4)-$(bytes 18 2)" in
    "$want "* | *" $want") ;;
    *) die "$BINARY is not a program for $TARGET" "build and pack lclaude: shell/package.sh --target $TARGET" ;;
  esac
  case "$TARGET" in
    *-musl)
      if LC_ALL=C grep -aqE '/ld-(linux|musl)' "$BINARY"; then
        die "$BINARY is not static" "build and pack lclaude: shell/package.sh --target $TARGET"
      fi
      ;;
  esac
}

# bytes OFFSET COUNT: prints bytes of the program in hexadecimal
bytes() { od -An -v -tx1 -j "$1" -N "$2" "$BINARY" 2>/dev/null | tr -d ' \n'; }

# The texts are the same on all platforms, so an lclaude for this machine prints those of another platform.
choose_texts() {
  TEXTS_FROM=$BINARY
  if "$BINARY" local man >/dev/null 2>&1; then return 0; fi
  check_cargo "the manual page and the completions cannot be printed"
  say "Building lclaude for this machine, to print the manual page and completions"
  cargo build --locked --bin lclaude
  TEXTS_FROM=$(where_cargo_builds)/debug/lclaude
}

description() {
  cat <<'TEXT'
lclaude is typed instead of claude. It starts an inference server on this
machine, waits until the server is ready, points this one Claude Code process
at it, and stops the server when Claude Code exits.
TEXT
}

# --- packages ----------------------------------------------------------------------------------

# stage KIND ROOT PREFIX: installs the files into ROOT as a package of this kind has them
stage() {
  local log=$SCRATCH/install.log
  if LCLAUDE_INSTALLED_BY=$1 DESTDIR=$2 shell/install.sh --prefix "$3" --binary "$BINARY" --texts-from "$TEXTS_FROM" \
    >"$log" 2>&1; then return 0; fi
  cat "$log" >&2
  die "the files of the package could not be installed" "see the output above"
}

# set_dates DIRECTORY: gives everything below it the date of the package
set_dates() { find "$1" -exec env TZ=UTC touch -t "$(date_as %Y%m%d%H%M.%S)" {} +; }

make_archive() {
  local name=lclaude-$VERSION-$TARGET owner
  stage archive "$SCRATCH/archive" "/$name"
  cp LICENSE "$SCRATCH/archive/$name/LICENSE"
  chmod 644 "$SCRATCH/archive/$name/LICENSE"
  set_dates "$SCRATCH/archive"
  # Only what GNU's tar and macOS's have. Neither sorts in the same way, so find and sort do.
  case "$(tar --version)" in
    *bsdtar*) owner="--uid 0 --gid 0" ;;
    *) owner="--owner=0 --group=0" ;;
  esac
  # macOS's tar would add a file with extended attributes for each file.
  # shellcheck disable=SC2086 # $owner is meant to split into words
  (cd "$SCRATCH/archive" && find "$name" | LC_ALL=C sort |
    COPYFILE_DISABLE=1 tar --format ustar --numeric-owner $owner --no-recursion -cf - -T -) |
    gzip -9n >"$SCRATCH/done/$name.tar.gz"
}

make_deb() {
  local root=$SCRATCH/deb documents=$SCRATCH/deb/usr/share/doc/lclaude architecture
  case "$TARGET" in x86_64-*) architecture=amd64 ;; aarch64-*) architecture=arm64 ;; esac
  stage deb "$root" /usr
  gzip -9n "$root/usr/share/man/man1/lclaude.1"
  # Debian's zsh doesn't look into site-functions below /usr.
  mkdir "$root/usr/share/zsh/vendor-completions"
  mv "$root/usr/share/zsh/site-functions/_lclaude" "$root/usr/share/zsh/vendor-completions/_lclaude"
  rmdir "$root/usr/share/zsh/site-functions"
  mkdir -p "$documents" "$root/DEBIAN"
  debian_copyright >"$documents/copyright"
  debian_changelog | gzip -9n >"$documents/changelog.Debian.gz"
  gzip -9nc CHANGELOG.md >"$documents/changelog.gz"
  (cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
  debian_control "$architecture" "$(find "$root/usr" -type f -exec cat {} + | wc -c)" >"$root/DEBIAN/control"
  set_dates "$root"
  dpkg-deb --root-owner-group -Zxz --build "$root" "$SCRATCH/done/lclaude_$VERSION-1_$architecture.deb" >/dev/null ||
    die "dpkg-deb could not make the package" "see the output above"
}

# debian_control ARCHITECTURE BYTES: nothing is required, since the program is static
debian_control() {
  cat <<CONTROL
Package: lclaude
Version: $VERSION-1
Architecture: $1
Maintainer: $MAINTAINER
Installed-Size: $((($2 + 1023) / 1024))
Section: utils
Priority: optional
Description: $SUMMARY
$(description | sed 's/^/ /')
CONTROL
}

debian_copyright() {
  cat <<COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: lclaude

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE)
License: Expat
$(sed -e '1,/^Copyright/d' LICENSE | sed -e '1d' -e 's/^$/./' -e 's/^/ /')
COPYRIGHT
}

debian_changelog() {
  cat <<CHANGELOG
lclaude ($VERSION-1) unstable; urgency=medium

  * Release $VERSION. What changed is in /usr/share/doc/lclaude/changelog.gz.

 -- $MAINTAINER  $(date_as '%a, %d %b %Y %H:%M:%S +0000')
CHANGELOG
}

make_rpm() {
  local root=$SCRATCH/rpm
  stage rpm "$root" /usr
  gzip -9n "$root/usr/share/man/man1/lclaude.1"
  mkdir -p "$root/usr/share/licenses/lclaude"
  cp LICENSE "$root/usr/share/licenses/lclaude/LICENSE"
  chmod 644 "$root/usr/share/licenses/lclaude/LICENSE"
  set_dates "$root"
  rpm_spec "$root" >"$SCRATCH/lclaude.spec"
  # Everything in the package is the same on any machine: its name, the date and the compression.
  rpmbuild -bb --quiet --target "${TARGET%%-*}-linux" --define "_topdir $SCRATCH/rpmbuild" --define "_rpmdir $SCRATCH/done" \
    --define "_rpmfilename %{name}-%{version}-%{release}.%{arch}.rpm" --define "_buildhost lclaude" \
    --define "use_source_date_epoch_as_buildtime 1" --define "_binary_payload w19.zstdio" \
    --define "_build_id_links none" "$SCRATCH/lclaude.spec" >"$SCRATCH/rpmbuild.log" 2>&1 || {
    cat "$SCRATCH/rpmbuild.log" >&2
    die "rpmbuild could not make the package" "see the output above"
  }
}

# rpm_spec ROOT: describes a package of the files in ROOT. It owns its files and the directories with its name.
rpm_spec() {
  cat <<SPEC
Name: lclaude
Version: $VERSION
Release: 1
Summary: $SUMMARY
License: MIT
AutoReqProv: no
# The program is packed as it is.
%global __os_install_post %{nil}
%global debug_package %{nil}

%description
$(description)

%install
mkdir -p %{buildroot}
cp -a '$1/.' %{buildroot}/

%files
%defattr(-,root,root,-)
$(cd "$1" && find . \( -type f -o -type d -name lclaude \) | sed 's/^\.//' | LC_ALL=C sort | while read -r file; do
    if [ -d "$1$file" ]; then echo "%dir $file"; else echo "$file"; fi
  done)
SPEC
}

main "$@"
