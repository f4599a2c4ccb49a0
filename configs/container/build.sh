#!/usr/bin/env bash
# build.sh PYTHON-WITH-PIP amd64|arm64 WHEEL DIRECTORY [operator]: makes DIRECTORY/leafgate-VERSION-ARCHITECTURE.oci.tar, an
# image of Python, what it links to, the wheel and what that needs; there is neither a shell nor a package manager in it.
# The image of the operator, leafgate-operator-VERSION-ARCHITECTURE.oci.tar, has the extra of this name as well.
#
# As root: Debian's packages are unpacked by mmdebstrap, the image is put together by buildah; nothing of the other
# architecture is run. PIP_OPTIONS are handed on to pip. SOURCE_DATE_EPOCH is the time of all files, else the last
# commit's.
set -euo pipefail

pip_python=$1 architecture=$2 extra=${5:-}
[ -e "$3" ] || { echo "there is no wheel for $architecture (for arm64: make arm ARCH=arm64)" >&2; exit 2; }
wheel=$(realpath "$3")
mkdir -p "$4"
output=$(realpath "$4")
here=$(dirname "$(realpath "$0")")
user=10001

case $extra in
"" | operator) name=leafgate${extra:+-$extra} ;;
*) echo "operator, not $extra" >&2; exit 2 ;;
esac
case $architecture in
amd64) platform=x86_64 ;;
arm64) platform=aarch64 ;;
*) echo "amd64 or arm64, not $architecture" >&2; exit 2 ;;
esac
for program in mmdebstrap buildah; do
    command -v $program >/dev/null || { echo "$program is missing (Debian: apt install mmdebstrap buildah)" >&2; exit 2; }
done
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
unpacked=$stage/unpacked root=$stage/root

# From where this system's apt gets its packages, with what was mended since the release.
apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u >"$stage/sources.list"
[ -s "$stage/sources.list" ] || { echo "apt knows no packages of Debian's: apt-get update" >&2; exit 2; }
mmdebstrap --quiet --mode=root --variant=extract --architectures="$architecture" --include=python3,ca-certificates \
    "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$unpacked" "$stage/sources.list"
triplet=$(basename "$(ls -d "$unpacked"/usr/lib/*-linux-gnu*)")
version=$(basename "$(ls -d "$unpacked"/usr/lib/python3.[0-9]*)")

# Python without what needs a screen, a compiler, or other libraries than those below.
mkdir -p "$root"/{etc/ssl/certs,etc/leafgate,proc,sys,dev,tmp,var/lib/leafgate,usr/bin,"usr/lib/$triplet","lib/$triplet"}
cp -a "$unpacked/usr/bin/$version" "$root/usr/bin"
ln -s "$version" "$root/usr/bin/python3"
cp -a "$unpacked/usr/lib/$version" "$root/usr/lib"
library=$root/usr/lib/$version
(
    cd "$library"
    rm -rf test unittest pydoc_data idlelib tkinter turtledemo ensurepip lib2to3 venv curses dbm xmlrpc \
        config-* sitecustomize.py EXTERNALLY-MANAGED turtle.py pydoc.py doctest.py
    rm -f lib-dynload/{nis,readline,_curses*,_dbm,_crypt,_test*,_xx*,xxlimited*,ossaudiodev,audioop,_tkinter}.*
)
for library_name in ld-linux libc libm libdl libpthread librt libutil libresolv libnss_dns libnss_files libgcc_s \
    libz libbz2 liblzma libexpat libssl libcrypto libsqlite3 libffi libuuid; do
    found=0
    for file in "$unpacked/lib/$triplet/$library_name"[.-]* "$unpacked/usr/lib/$triplet/$library_name"[.-]*; do
        [ -e "$file" ] || continue
        cp -a "$file" "$root${file#"$unpacked"}"
        found=1
    done
    [ $found = 1 ] || { echo "$library_name is not there" >&2; exit 1; }
done
# The path of the dynamic linker is written in every program.
for file in "$unpacked"/lib64/* "$unpacked"/lib/ld-linux*; do
    [ -e "$file" ] || continue
    mkdir -p "$root$(dirname "${file#"$unpacked"}")"
    cp -a "$file" "$root${file#"$unpacked"}"
done
cat "$unpacked"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"

# Debian's Python looks for modules and data of others below /usr/local.
packages=$root/usr/local/lib/$version/dist-packages
mkdir -p "$packages"
# shellcheck disable=SC2086 - options are words
"$pip_python" -m pip --disable-pip-version-check --quiet install --no-compile --only-binary=:all: --target "$packages" \
    --python-version "${version#python}" --implementation cp --abi "cp${version//[!0-9]/}" --abi abi3 --abi none \
    --platform "linux_$platform" --platform "manylinux2014_$platform" --platform "manylinux_2_17_$platform" \
    --platform "manylinux_2_28_$platform" --platform "manylinux_2_34_$platform" ${PIP_OPTIONS:-} \
    "$wheel${extra:+[$extra]}"
rm -rf "$packages"/share/man "$packages/bin"
mv "$packages/share" "$root/usr/local/share"
find "$packages" -depth \( -name tests -o -name test -o -name _tests -o -name testing -o -name '*.pyi' -o -name '*.pxd' \
    -o -name direct_url.json \) ! -path '*/trio/*' -exec rm -rf {} +
rm -rf "$packages"/trio/{_tests,_core/_tests,_tools} "$packages"/cffi/*.h "$packages"/pycparser
"$pip_python" - "$wheel" "$root/usr/local/bin/leafgate" <<'PYTHON'
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    (line,) = [line for line in wheel.read(name).decode().splitlines() if line.startswith("leafgate =")]
module, _, function = line.partition("=")[2].strip().partition(":")
os.makedirs(os.path.dirname(sys.argv[2]), exist_ok=True)
with open(sys.argv[2], "w") as script:
    script.write(f"#!/usr/bin/python3\nfrom {module} import {function}\n\n{function}()\n")
os.chmod(sys.argv[2], 0o755)
PYTHON

# The root is read-only: what is not compiled now would be compiled at every start. Of Python's own library the sources
# are left out.
[ "$("$pip_python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')" = "$version" ] ||
    { echo "$pip_python is not of Debian's version, $version" >&2; exit 2; }
compile() { "$pip_python" -m compileall -q -s "$root" -p / --invalidation-mode unchecked-hash "$@"; }
compile -b "$library"
find "$library" -name '*.py' -delete
compile "$packages" || true

cp "$here/leafgate.toml" "$root/etc/leafgate"
printf 'root:x:0:0::/:/nologin\nleafgate:x:%d:%d::/var/lib/leafgate:/nologin\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nleafgate:x:%d:\n' $user >"$root/etc/group"
# Names are looked for in the file that the runtime writes, then by DNS.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
chmod 700 "$root/var/lib/leafgate"
chown -R 0:0 "$root"
chown $user:$user "$root/var/lib/leafgate"

release=$(basename "$wheel" | cut -d- -f2)
store=(buildah --root "$stage/storage" --runroot "$stage/run" --storage-driver vfs)
container=$("${store[@]}" from --arch "$architecture" scratch)
cp -a "$root/." "$("${store[@]}" mount "$container")/"
"${store[@]}" umount "$container" >/dev/null
if [ "$extra" = operator ]; then
    labels=(--label org.opencontainers.image.title=leafgate-operator
        --label org.opencontainers.image.description="Leafgate gateways in Kubernetes, as resources describe them")
    settings=(--workingdir /tmp --cmd operator)
else
    labels=(--label org.opencontainers.image.title=leafgate
        --label org.opencontainers.image.description="Edge gateway for NATS, MQTT and WebSocket")
    settings=(--workingdir /var/lib/leafgate --cmd 'run -c /etc/leafgate/leafgate.toml' --volume /var/lib/leafgate
        --port 4222/tcp --port 1883/tcp --port 8080/tcp --env LEAFGATE_CONFIG=/etc/leafgate/leafgate.toml)
fi
"${store[@]}" config --arch "$architecture" --os linux --user $user:$user --entrypoint '["leafgate"]' \
    --stop-signal SIGTERM --env PATH=/usr/local/bin:/usr/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    --env PYTHONDONTWRITEBYTECODE=1 --label org.opencontainers.image.version="$release" \
    --label org.opencontainers.image.licenses=Apache-2.0 "${settings[@]}" "${labels[@]}" "$container"
image=$output/$name-$release-$architecture.oci.tar
rm -f "$image"
"${store[@]}" commit --quiet --disable-compression=false --format oci --timestamp "$epoch" "$container" "oci-archive:$image:$name:$release" >/dev/null

du -sk "$library" "$packages" "$root/usr/local/share" "$root"/usr/lib/"$triplet" "$root/lib/$triplet" "$root/usr/bin" |
    awk -v root="$root" '{sub(root, "", $2); printf "%7.1f MB  %s\n", $1 / 1024, $2}'
printf '%7.1f MB  all files; the archive, compressed: %.1f MB\n' \
    "$(du -sk "$root" | awk '{print $1 / 1024}')" "$(stat -c %s "$image" | awk '{print $1 / 1048576}')"
echo "$image"
