#!/usr/bin/env bash
# An emulated Python of a foreign architecture: emulated.sh arm64|armhf DIRECTORY
# DIRECTORY/root holds Debian's files for it, DIRECTORY/bin/python runs it under QEMU, DIRECTORY/bin/cc compiles for it.
# Nothing in the root is run natively, and this system is left alone. What is there already is not made again.
set -euo pipefail

arch=$1
mkdir -p "$2/bin"
place=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
# QEMU 7 does not look below the root for what a 32-bit program asks statx().
case $arch in
arm64) qemu=qemu-aarch64-static triplet=aarch64-linux-gnu ;;
armhf) qemu="python3 $here/without_statx.py qemu-arm-static" triplet=arm-linux-gnueabihf ;;
*) echo "arm64 or armhf, not $arch" >&2; exit 2 ;;
esac
root=$place/root

if [ ! -e "$root/unpacked" ]; then
    rm -rf "$root"
    # From where this system's apt gets its packages.
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
    release=$(. /etc/os-release; echo "$VERSION_CODENAME")
    mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" \
        --include=python3,python3-venv,python3-dev,libc6-dev,base-files,libc-bin "$release" "$root" "$mirror"
    touch "$root/unpacked"
fi

version=$(basename "$(ls -d "$root"/usr/bin/python3.[0-9]* | grep -v config | head -1)")
# Scripts, so that what a test starts by sys.executable is emulated, too.
printf '#!/bin/sh\nexec %s-gcc -I%s/usr/include/%s "$@" -idirafter %s/usr/include\n' \
    "$triplet" "$root" "$version" "$root" > "$place/bin/cc"
printf '#!/bin/sh\nexec %s -L %s -0 "$0" %s/usr/bin/%s "$@"\n' "$qemu" "$root" "$root" "$version" > "$place/bin/python"
chmod +x "$place/bin/cc" "$place/bin/python"
ln -sf python "$place/bin/python3"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "${version#python}" > "$place/pyvenv.cfg"
mkdir -p "$place/lib/$version/site-packages"
