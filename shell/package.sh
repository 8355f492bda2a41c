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
# Debian's format requires an address. A release sets it.
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

Without --binary, a .deb and an .rpm are made of static programs only (*-linux-musl).

The files are dated SOURCE_DATE_EPOCH (default: the time of the last commit). The .deb and the .rpm
name the email address LCLAUDE_MAINTAINER and the website LCLAUDE_REPOSITORY if they are set.
USAGE
}

main() {
  read_own_options "$@"
  clean_up_at_exit
  # The packages have the permissions that everybody needs, whatever the user's own umask is.
  umask 022
  VERSION=$(release_version)
  SUMMARY=$(package_field description)
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
  local name
  while [ $# -gt 0 ]; do
    case "$1" in
      --target=* | --binary=* | --texts-from=* | --out=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    name=$1
    case "$name" in
      --target | --binary | --texts-from | --out)
        case "${2:-}" in "" | --*) misuse "$name needs a value" ;; esac
        shift
        ;;
    esac
    case "$name" in
      --target) TARGET=$1 ;;
      --binary) BINARY=$(absolute "$1") ;;
      --texts-from) TEXTS_FROM=$(absolute "$1") ;;
      --out) OUT=$(absolute "$1") ;;
      archive | deb | rpm) KINDS="$KINDS $1" ;;
      --help | -h) usage; exit 0 ;;
      -*) misuse "unknown option: $1" ;;
      *) misuse "unknown kind of package: $1" ;;
    esac
    shift
  done
  choose_kinds
}

# Sets KINDS to what TARGET has, or checks that it has those.
choose_kinds() {
  local possible kind
  case "$TARGET" in
    x86_64-unknown-linux-musl | aarch64-unknown-linux-musl) possible="archive deb rpm" ;;
    # A program that was built with other libraries would need packages that the .deb and the .rpm don't name.
    x86_64-unknown-linux-* | aarch64-unknown-linux-*) possible="archive${BINARY:+ deb rpm}" ;;
    x86_64-apple-darwin | aarch64-apple-darwin) possible=archive ;;
    "") complain "--target is missing" "shell/package.sh --target x86_64-unknown-linux-musl"; exit 64 ;;
    *) complain "no packages are made for $TARGET" "shell/package.sh --target x86_64-unknown-linux-musl"; exit 64 ;;
  esac
  for kind in $KINDS; do
    case " $possible " in
      *" $kind "*) ;;
      *) complain "no .$kind is made for $TARGET" "shell/package.sh --target $TARGET archive"; exit 64 ;;
    esac
  done
  KINDS=${KINDS:-$possible}
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

build() {
  check_cargo "lclaude cannot be built"
  say "Building lclaude for $TARGET"
  # Panic messages have the paths of source files, which would name this machine's user.
  # This form allows spaces in paths.
  local separator=$'\x1f' flags
  flags="--remap-path-prefix=${CARGO_HOME:-${HOME:?}/.cargo}=cargo$separator--remap-path-prefix=$(rustc --print sysroot)=rust"
  flags="$flags$separator--remap-path-prefix=$PWD=lclaude"
  # It replaces RUSTFLAGS, in which spaces separate.
  if [ -n "${RUSTFLAGS:-}" ]; then flags="$(tr -s ' ' "$separator" <<<"$RUSTFLAGS")$separator$flags"; fi
  CARGO_ENCODED_RUSTFLAGS="${CARGO_ENCODED_RUSTFLAGS:+$CARGO_ENCODED_RUSTFLAGS$separator}$flags" \
    cargo build --release --locked --bin lclaude --target "$TARGET"
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

make_archive() {
  local name=lclaude-$VERSION-$TARGET
  stage archive "$SCRATCH/archive" "/$name"
  cp LICENSE "$SCRATCH/archive/$name/LICENSE"
  chmod 644 "$SCRATCH/archive/$name/LICENSE"
  pack "$SCRATCH/archive" "$name" "$SCRATCH/done/$name.tar.gz"
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
Priority: optional${LCLAUDE_REPOSITORY:+
Homepage: $LCLAUDE_REPOSITORY}
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

# rpm_spec ROOT: describes a package of the files in ROOT. It owns its files, and the directories that only
# some systems have.
rpm_spec() {
  cat <<SPEC
Name: lclaude
Version: $VERSION
Release: 1
Summary: $SUMMARY
License: MIT
Packager: $MAINTAINER${LCLAUDE_REPOSITORY:+
URL: $LCLAUDE_REPOSITORY}
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
$(cd "$1" && find . -type f -o -type d \( -name lclaude -o -path './usr/share/zsh*' -o -path './usr/share/fish*' \) |
    sed 's/^\.//' | LC_ALL=C sort | while read -r file; do
    if [ -d "$1$file" ]; then echo "%dir $file"; else echo "$file"; fi
  done)
SPEC
}

main "$@"
