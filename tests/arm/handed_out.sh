#!/usr/bin/env bash
# Runs under emulation what is handed out for ARM: handed_out.sh arm64|armhf FILE, a Debian package or an image
# The package with those that it depends on, the image as it is. What it needs in C is imported, then a message goes from NATS
# to MQTT and one back.
set -euo pipefail

arch=$1 file=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
root=$place/root
case $arch in
arm64) qemu=qemu-aarch64-static ;;
armhf) qemu="python3 $here/without_statx.py qemu-arm-static" ;;
*) echo "arm64 or armhf, not $arch" >&2; exit 2 ;;
esac

case $file in
*.deb)
    depends=$(dpkg-deb -f "$file" Depends | sed 's/([^)]*)//g; s/systemd//; s/ //g' | tr , '\n' | sort -u | sed '/^$/d' | paste -sd,)
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
    mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" --include="$depends,base-files,libc-bin" \
        "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$root" "$mirror"
    dpkg-deb -x "$file" "$root"
    name=$root/opt/leafgate/bin/python
    ;;
*.oci.tar)
    mkdir "$root"
    python3 - "$file" "$root" <<'PYTHON'
import io, json, sys, tarfile

with tarfile.open(sys.argv[1]) as image:
    def read(digest):
        return image.extractfile("blobs/" + digest.replace(":", "/")).read()

    (entry,) = json.load(image.extractfile("index.json"))["manifests"]
    for layer in json.loads(read(entry["digest"]))["layers"]:
        with tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))) as files:
            files.extractall(sys.argv[2])
PYTHON
    name=$root/usr/bin/python3
    ;;
*) echo "a Debian package or an image, not $file" >&2; exit 2 ;;
esac

program=$(ls "$root"/usr/bin/python3.[0-9]* | grep -v config | head -1)
printf '#!/bin/sh\nexec %s -L %s -0 %s %s "$@"\n' "$qemu" "$root" "$name" "$program" >"$place/python"
chmod +x "$place/python"
cd "$place" # Not in a checkout, whose modules would come first.
"$place/python" -c 'import bcrypt, cryptography.x509, msgspec, nacl.signing, platform, sys
from gateway.version import VERSION, form_name
print(VERSION, form_name(), platform.machine(), sys.version.split()[0])
sys.exit(form_name() != "compiled")'
python3 "$here/exchange.py" "$place/python"
echo "$(basename "$file"): messages went from NATS to MQTT and back"
