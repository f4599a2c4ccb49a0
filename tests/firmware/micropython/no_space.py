# Run by MicroPython's Unix port: an update that does not fit beside the release that runs, then one that does.
# Argument: the directory micropython/ota.
import asyncio
import binascii
import hashlib
import json
import sys
import vfs

sys.path[:] = [sys.argv[1] + "/slot", ".frozen"]

from update import install

SECTOR = 4096
SECTORS = 24


class Flash:
    def __init__(self):
        self.content = bytearray(b"\xff" * (SECTOR * SECTORS))

    def readblocks(self, block, buffer, start=0):
        begin = block * SECTOR + start
        buffer[:] = self.content[begin : begin + len(buffer)]

    def writeblocks(self, block, buffer, start=0):
        begin = block * SECTOR + start
        self.content[begin : begin + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        if operation == 4:
            return SECTORS
        if operation == 5:
            return SECTOR
        if operation == 6:
            return 0


def release(files):
    listed = {path: [len(data), sha256(data)] for path, data in files.items()}
    return bytes(64) + json.dumps({"device": "d", "release": 1, "files": listed}).encode()


def sha256(data):
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def put(slot, files):
    contents = {sha256(data): data for data in files.values()}

    async def fetch(digest, offset, size):
        return contents[digest][offset : offset + size]

    asyncio.run(install.install(release(files), "/flash/a", slot, fetch))


flash = Flash()
vfs.VfsLfs2.mkfs(flash)
vfs.mount(vfs.VfsLfs2(flash), "/flash")
put("/flash/a", {"agent.py": bytes(30000)})
for files in ({"agent.py": b"x" * 60000}, {"%d.py" % i: b"x" * 2000 for i in range(40)}):
    try:
        put("/flash/b", files)
        raise AssertionError("it fits")
    except install.Refused as error:
        print(error)
    assert install.is_whole("/flash/a") and not install.is_whole("/flash/b")
put("/flash/b", {"agent.py": b"y" * 30000})
assert install.is_whole("/flash/b")
