#!/bin/sh
# build.sh PYTHON-WITH-PIP DIRECTORY: makes a Debian package of this checkout in DIRECTORY.
#
# The package holds a virtual environment at /opt/leafgate: Debian has no packages of some of what leafgate needs in the
# versions that it needs, and there nothing of the system's Python can get in its way, nor it in the system's. Data files
# are found below the environment, as everywhere. Debian's Python runs it (DEB_PYTHON), of the minor version that the
# compiled modules are for; the package depends on that.
#
# DEB_WHEELS is a folder of wheels to take leafgate from instead of building it. For another architecture than this
# machine's, DEB_ARCHITECTURE (arm64, armhf), it has to be there, as `make arm` leaves it; nothing of it is run here. On armhf two packages of Debian's stand in for what PyPI
# has no wheels of. PIP_OPTIONS are handed on to pip.
set -eu

pip_python=$1
python=${DEB_PYTHON:-/usr/bin/python3}
here=$(dirname "$0")
sources=$(cd "$here/../.." && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
home=$stage/opt/leafgate

native=$(dpkg --print-architecture)
architecture=${DEB_ARCHITECTURE:-$native}
depends=

"$python" -m venv --without-pip "$home"
# What is built looks in the path for the compiler of what boards run.
tools=$(cd "$(dirname "$(command -v "$pip_python")")" && pwd)
pip() { PATH="$PATH:$tools" "$pip_python" -m pip --disable-pip-version-check --quiet "$@"; }
# What was built for another architecture, into the environment of this one's Python: PLATFORM WHAT …
foreign() {
    platform=$1 packages=$(echo "$home"/lib/python3.*/site-packages)
    shift
    # shellcheck disable=SC2086 - options are words
    pip install --no-compile --only-binary=:all: --target "$packages" --implementation cp --abi "cp3$minor" --abi abi3 \
        --abi none --python-version "3.$minor" --platform "linux_$platform" --platform "manylinux2014_$platform" \
        --platform "manylinux_2_17_$platform" --platform "manylinux_2_28_$platform" \
        --platform "manylinux_2_31_$platform" ${PIP_OPTIONS:-} "$@"
    cp -a "$packages/bin" "$packages/share" "$home"
    rm -r "$packages/bin" "$packages/share"
}
minor=$("$home/bin/python" -c 'import sys; print(sys.version_info.minor)')
case $architecture in
"$native")
    what=$sources
    if [ -n "${DEB_WHEELS:-}" ]; then
        # Not one of that name which a registry may have.
        pip --python "$home/bin/python" install --no-compile --no-deps --no-index --find-links "$DEB_WHEELS" leafgate
        what=leafgate
    fi
    # shellcheck disable=SC2086
    pip --python "$home/bin/python" install --no-compile ${PIP_OPTIONS:-} "$what"
    ;;
arm64) foreign aarch64 "$DEB_WHEELS"/leafgate-*.whl ;;
armhf)
    foreign armv7l --no-deps "$DEB_WHEELS"/leafgate-*.whl "$DEB_WHEELS"/msgspec-*.whl trio h11 pyserial \
        prometheus-client attrs sortedcontainers idna outcome sniffio cryptography bcrypt
    sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "$home/pyvenv.cfg"
    depends=", python3-nacl, python3-cffi-backend"
    ;;
*) echo "$architecture is neither $native nor arm64 nor armhf" >&2; exit 2 ;;
esac

# What names the place of the build, or is for those who type in an environment.
find "$home/bin" -type f ! -name leafgate -delete
sed -i "1s|^#!.*|#!/opt/leafgate/bin/python|" "$home/bin/leafgate"
sed -i '/^command = /d' "$home/pyvenv.cfg"
find "$home/lib" -name direct_url.json -delete
# Compiled here, so that the first start is no slower than the others and nothing is left behind by one as root.
"$home/bin/python" -m compileall -q -s "$stage" -p / --invalidation-mode unchecked-hash "$home/lib" || true

version=$("$home/bin/python" -c 'import sys; sys.path.insert(0, sys.argv[1])
from gateway.version import VERSION; print(VERSION)' "$sources")

put() { install -D -m "$1" "$2" "$stage/$3"; }
put 644 "$sources/configs/leafgate.service" lib/systemd/system/leafgate.service
put 644 "$sources/LICENSE" usr/share/doc/leafgate/copyright
put 644 "$sources/configs/leafgate.1" usr/share/man/man1/leafgate.1
gzip -9n "$stage/usr/share/man/man1/leafgate.1"
mkdir -p "$stage/usr/bin" "$stage/usr/share/bash-completion/completions" \
    "$stage/usr/share/zsh/vendor-completions" "$stage/usr/share/fish/vendor_completions.d"
ln -s /opt/leafgate/bin/leafgate "$stage/usr/bin/leafgate"
complete() { (cd "$sources" && "$home/bin/python" -B -m gateway completion "$1") >"$stage/usr/share/$2"; }
complete bash bash-completion/completions/leafgate
complete zsh zsh/vendor-completions/_leafgate
complete fish fish/vendor_completions.d/leafgate.fish

mkdir "$stage/DEBIAN"
cat >"$stage/DEBIAN/control" <<EOF
Package: leafgate
Version: $version
Architecture: $architecture
Maintainer: leafgate
Section: net
Priority: optional
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), systemd$depends
Installed-Size: $(du -sk "$stage" | cut -f1)
Description: edge gateway for NATS, MQTT and WebSocket
 Clients of all three share one subject space, and a leafnode link joins it to a
 NATS cluster. Sessions, queued and retained messages are kept on the disk.
EOF
for script in postinst prerm postrm; do put 755 "$here/$script" "DEBIAN/$script"; done

package=$output/leafgate_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$stage" "$package" >/dev/null
echo "$package"
