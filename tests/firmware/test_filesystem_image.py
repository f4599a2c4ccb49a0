"""Images as the board sees them: a real MicroPython mounts each, reads it and writes to it."""

import json
import subprocess

import pytest

from firmware.errors import DeviceError
from firmware.filesystem_image import CACHE_SIZE, SPARE_BLOCKS, build_image, has_room_for_update
from tests.firmware.micropython_board import micropython
from tests.patience import PATIENCE_SECONDS

KIBIBYTE = 1024
# Mounts as the ESP32 port does, says what is in there, then writes and mounts again.
READER = """
import binascii, json, os, sys, vfs
class Flash:
    def __init__(self, path, blocks):
        self.file, self.blocks = open(path, "r+b"), blocks
    def readblocks(self, block, buffer, start=0):
        self.file.seek(block * 4096 + start); self.file.readinto(buffer)
    def writeblocks(self, block, buffer, start=0):
        self.file.seek(block * 4096 + start); self.file.write(buffer)
    def ioctl(self, operation, argument):
        if operation == 4: return self.blocks
        if operation == 5: return 4096
        if operation == 6: self.writeblocks(argument, b"\\xff" * 4096); return 0
def tree(folder):
    found = {}
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000: found.update(tree(path))
        else: found[path[2:]] = binascii.hexlify(open(path, "rb").read()).decode()
    return found
flash = Flash(sys.argv[1], int(sys.argv[2]))
vfs.mount(vfs.VfsLfs2(flash), "/f")
before = tree("/f")
with open("/f/new", "w") as file:
    file.write("written on the board")
vfs.umount("/f")
vfs.mount(vfs.VfsLfs2(flash), "/f")
print(json.dumps([before, tree("/f")]))
"""


def mount(tmp_path, image: bytes, blocks: int) -> subprocess.CompletedProcess[str]:
    path, script = tmp_path / "image", tmp_path / "reader.py"
    path.write_bytes(image)
    script.write_text(READER)
    line = [micropython(), "-X", "heapsize=512k", str(script), str(path), str(blocks)]
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize("kibibytes", [256, 960, 2048, 6144])
def test_micropython_mounts_an_image_and_writes_to_it(tmp_path, kibibytes):
    # Around the size from which littlefs stores a file outside its directory, a wrong cache size shows.
    sizes = (0, 1, CACHE_SIZE - 1, CACHE_SIZE, CACHE_SIZE + 1, 150, 400, 512, 1000, 5000)
    files = {f"/a/deep/{size}.bin": bytes(i % 251 for i in range(size)) for size in sizes}
    files |= {"/main.py": b"print()", "/b.json": b"{}"}
    image = build_image(files, kibibytes * KIBIBYTE)
    assert len(image) == kibibytes * KIBIBYTE

    seen = mount(tmp_path, image, kibibytes // 4)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    before, after = json.loads(seen.stdout)
    assert before == {path: data.hex() for path, data in files.items()}
    assert after == before | {"/new": b"written on the board".hex()}


def test_micropython_refuses_an_image_of_another_size_than_its_partition(tmp_path):
    seen = mount(tmp_path, build_image({"/main.py": b""}, 256 * KIBIBYTE), 512)
    assert "OSError: [Errno 22] EINVAL" in seen.stdout + seen.stderr


def test_room_for_an_update_is_room_for_everything_twice():
    files = {f"/a/{number}": bytes(5000) for number in range(10)}
    assert has_room_for_update(files, (40 + SPARE_BLOCKS) * 4096)
    assert not has_room_for_update(files, (39 + SPARE_BLOCKS) * 4096)


def test_files_that_do_not_fit_are_told():
    with pytest.raises(DeviceError, match="300000 bytes of files do not fit into a file system of 256 KiB"):
        build_image({"/a/large": bytes(300_000)}, 256 * KIBIBYTE)
    with pytest.raises(DeviceError, match="do not fit"):
        build_image({}, 16 * KIBIBYTE)
