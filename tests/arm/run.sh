#!/usr/bin/env bash
# Builds the compiled wheel for ARM and runs it under emulation: run.sh arm64|armhf [DIRECTORY [PYTEST-ARGUMENT ...]]
# An exchange between NATS and MQTT through the gateway, then tests of the protocols and of the data plane. The wheel stays
# in DIRECTORY/dist. Speed, memory and ARM's memory order are not shown by emulation.
set -euo pipefail

arch=$1
here=$(dirname "$(realpath "$0")")
repository=$(realpath "$here/../..")
place=${2:-$repository/build/$arch}
shift $(($# < 2 ? $# : 2))

missing=()
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v qemu-arm-static >/dev/null || missing+=(qemu-user-static)
case $arch in
arm64) platform=aarch64 cross=aarch64-linux-gnu ;;
armhf) platform=armv7l cross=arm-linux-gnueabihf ;;
*) echo "arm64 or armhf, not $arch" >&2; exit 2 ;;
esac
command -v "$cross-gcc" >/dev/null || missing+=("gcc-$cross" "libc6-dev-$arch-cross")
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get install -y --no-install-recommends "${missing[@]}"
fi

"$here/emulated.sh" "$arch" "$place"
place=$(realpath "$place")
python=$place/bin/python
packages=$(ls -d "$place"/lib/python3*/site-packages)
# Of the same version, with pip, setuptools and Cython.
native=${NATIVE_PYTHON:-python3}
pip=("$native" -m pip --disable-pip-version-check --quiet)

# What the wheel and the tests need. Of those in C, msgspec is the one that every gateway imports; armv7 has no wheel of it.
pure=(trio h11 pyserial prometheus-client pytest pytest-trio hypothesis nats-py paho-mqtt aiomqtt outcome sniffio
    sortedcontainers attrs idna iniconfig packaging pluggy pygments)
"${pip[@]}" install --upgrade --target "$packages" --no-deps --only-binary=:all: --platform any "${pure[@]}"
if [ "$arch" = arm64 ]; then
    "${pip[@]}" install --upgrade --target "$packages" --no-deps --only-binary=:all: \
        --platform "manylinux_2_17_$platform" --platform "manylinux2014_$platform" --platform "manylinux_2_28_$platform" \
        --python-version 3.11 msgspec pynacl cryptography bcrypt cffi pycparser
fi

# Builds a wheel of the sources in the current directory. This machine's Python does it, which takes itself for the foreign
# one by what that knows of its own compiler; so nothing is emulated.
build() {
    mkdir -p "$place/knowledge"
    cp "$place/root/usr/lib/python3"*"/_sysconfigdata__$cross.py" "$place/knowledge"
    CC=$place/bin/cc LDSHARED="$place/bin/cc -shared" PYTHONPATH=$place/knowledge _PYTHON_HOST_PLATFORM=linux-$platform \
        _PYTHON_SYSCONFIGDATA_NAME=_sysconfigdata__$cross "$native" -c '
import sys
sys.path.insert(0, ".")
from setuptools import build_meta
build_meta.build_wheel(sys.argv[1])' "$place/dist" >"$place/build.log" 2>&1 || { tail -50 "$place/build.log" >&2; return 1; }
}

mkdir -p "$place/dist" "$place/source"
if [ "$arch" = armhf ]; then
    "${pip[@]}" download --no-deps --no-binary=:all: --no-build-isolation --dest "$place/source" msgspec
    tar -xzf "$place"/source/msgspec-*.tar.gz -C "$place/source"
    (cd "$place"/source/msgspec-*/ && build)
    "${pip[@]}" install --target "$packages" --no-deps --upgrade --platform "linux_$platform" --only-binary=:all: "$place"/dist/msgspec-*.whl
fi

rm -rf "$place/checkout" "$place"/dist/leafgate-*.whl
mkdir "$place/checkout"
git -C "$repository" archive HEAD | tar -x -C "$place/checkout"
# What was built of the sources and is none of them: the console's page.
page=gateway/console/built
[ ! -e "$repository/$page" ] || cp -a "$repository/$page" "$place/checkout/$page"
(cd "$place/checkout" && LEAFGATE_PURE=0 build)
"${pip[@]}" install --target "$packages" --no-deps --upgrade --platform "linux_$platform" --only-binary=:all: "$place"/dist/leafgate-*.whl
cd "$place"
"$python" -m gateway --version | grep compiled

python3 "$here/exchange.py" "$python"
echo "$arch: messages went from NATS to MQTT and back"
cd "$place/checkout"
[ $# -gt 0 ] || set -- tests/protocols/nats tests/gateway/dataplane
"$python" -P -m pytest -q -p no:cacheprovider -o addopts="--import-mode=importlib --strict-markers" "$@"
