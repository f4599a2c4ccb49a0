#!/bin/sh
# build.sh PYTHON-WITH-PIP DIRECTORY: makes a Debian package of this checkout in DIRECTORY.
#
# The package holds a virtual environment at /opt/leafgate: Debian has no packages of some of what leafgate needs in the
# versions that it needs, and there nothing of the system's Python can get in its way, nor it in the system's. Data files
# are found below the environment, as everywhere. Debian's Python runs it (DEB_PYTHON), of the minor version that the
# compiled modules are for; the package depends on that.
#
# PIP_OPTIONS are handed on to pip.
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

"$python" -m venv --without-pip "$home"
# shellcheck disable=SC2086 - options are words
"$pip_python" -m pip --disable-pip-version-check --quiet --python "$home/bin/python" install --no-compile \
    ${PIP_OPTIONS:-} "$sources"

# What names the place of the build, or is for those who type in an environment.
find "$home/bin" -type f ! -name leafgate -delete
sed -i "1s|^#!.*|#!/opt/leafgate/bin/python|" "$home/bin/leafgate"
sed -i '/^command = /d' "$home/pyvenv.cfg"
find "$home/lib" -name direct_url.json -delete
# Compiled here, so that the first start is no slower than the others and nothing is left behind by one as root.
"$home/bin/python" -m compileall -q -s "$stage" -p / --invalidation-mode unchecked-hash "$home/lib" || true

version=$("$home/bin/python" -c 'import sys; sys.path.insert(0, sys.argv[1])
from gateway.version import VERSION; print(VERSION)' "$sources")
architecture=$(dpkg --print-architecture)
minor=$("$home/bin/python" -c 'import sys; print(sys.version_info.minor)')

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
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), systemd
Installed-Size: $(du -sk "$stage" | cut -f1)
Description: edge gateway for NATS, MQTT and WebSocket
 Clients of all three share one subject space, and a leafnode link joins it to a
 NATS cluster. Sessions, queued and retained messages are kept on the disk.
EOF
for script in postinst prerm postrm; do put 755 "$here/$script" "DEBIAN/$script"; done

package=$output/leafgate_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$stage" "$package" >/dev/null
echo "$package"
