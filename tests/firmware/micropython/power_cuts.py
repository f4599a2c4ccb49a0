# Run by MicroPython's Unix port: an update on a file system in RAM, with the power cut at every single block write.
# Argument: the directory micropython/ota. Prints one line of JSON.
import asyncio
import binascii
import hashlib
import json
import sys
import vfs

sys.path[:] = [sys.argv[1] + "/root", sys.argv[1] + "/slot", ".frozen"]

import boot_slots
from update import install

SECTOR = 4096
SECTORS = 40
ROOT = "/flash/"
SIGNATURE = bytes(64)


class PowerCut(Exception):
    """Goes through littlefs and our code alike: nothing catches it, nothing runs after it."""


class Flash:
    """NOR flash in RAM. The write or erase number `cut` is not done, done in part, or done before the power goes."""

    def __init__(self, content=None, cut=0, manner=""):
        self.content = content or bytearray(b"\xff" * (SECTOR * SECTORS))
        self.cut = cut
        self.manner = manner
        self.count = 0
        self.gone = False  # files left open are closed by the garbage collector some day: too late

    def readblocks(self, block, buffer, start=0):
        if self.gone:
            return -5
        begin = block * SECTOR + start
        buffer[:] = self.content[begin : begin + len(buffer)]

    def writeblocks(self, block, buffer, start=0):
        return -5 if self.gone else self._change(block * SECTOR + start, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return SECTORS
        if operation == 5:
            return SECTOR
        if operation == 6:
            return -5 if self.gone else self._change(argument * SECTOR, b"\xff" * SECTOR) or 0

    def _change(self, begin, data):
        if self.cut and self.count >= self.cut:
            raise PowerCut
        self.count += 1
        if self.count != self.cut:
            self.content[begin : begin + len(data)] = data
            return
        if self.manner == "half":
            self.content[begin : begin + len(data) // 2] = data[: len(data) // 2]
        elif self.manner == "garbage":
            for i in range(begin, begin + len(data)):
                self.content[i] &= i * 37 & 0xFF
        elif self.manner == "done":
            self.content[begin : begin + len(data)] = data
        raise PowerCut


def release(number, files):
    listed = {path: [len(data), sha256(data)] for path, data in files.items()}
    return SIGNATURE + json.dumps({"device": "d", "release": number, "files": listed}).encode()


def sha256(data):
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def noise(seed, size):
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32 + 1))[:size]


OLD = {"agent.py": noise(1, 3000), "lib/client.py": noise(2, 5000), "application.py": noise(3, 100), "gone.py": b"x"}
NEW = dict(OLD)
NEW.update({"application.py": noise(4, 2500), "lib/new.py": noise(5, 900), "lib/deep/er.py": b"y"})
del NEW["gone.py"]
# What the other slot has from before: some of it fits, some does not.
STALE = {"agent.py": noise(1, 3000), "lib/client.py": noise(9, 4000), "old/er.py": b"z"}
CONTENTS = {sha256(data): data for files in (OLD, NEW, STALE) for data in files.values()}
OLD_RELEASE, NEW_RELEASE, STALE_RELEASE = release(2, OLD), release(3, NEW), release(1, STALE)
fetched = 0


async def fetch(digest, offset, size):
    global fetched
    fetched += size
    return CONTENTS[digest][offset : offset + size]


async def nothing(digest, offset, size):
    raise RuntimeError("fetched what was there")


def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash), ROOT[:-1])


def prepared():
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    asyncio.run(install.install(OLD_RELEASE, ROOT + "none", ROOT + "a", fetch))
    asyncio.run(install.install(STALE_RELEASE, ROOT + "none", ROOT + "b", fetch))
    boot_slots.write_choice("a", root=ROOT)
    vfs.umount(ROOT[:-1])
    return flash.content


def update_and_prove():
    """From the offer to the moment when the new release counts as good; the board restarts in between."""
    asyncio.run(install.install(NEW_RELEASE, ROOT + "a", ROOT + "b", fetch))
    boot_slots.write_choice("a", "b", root=ROOT)
    boot_slots._running = boot_slots.select(ROOT)
    assert boot_slots._running == ("b", True), boot_slots._running
    boot_slots.mark_good(ROOT)


def run_until_the_cut(flash):
    mount(flash)
    try:
        update_and_prove()
        return False
    except PowerCut:
        return True
    finally:
        vfs.umount(ROOT[:-1])
        flash.gone = True


def check_and_finish(content):
    """The power is back: what starts must be whole, and the update must go through from here. Returns what started."""
    flash = Flash(content)
    mount(flash)
    slot, on_trial = boot_slots._running = boot_slots.select(ROOT)
    assert install.is_whole(ROOT + slot), "a broken slot starts"
    number = install.read_manifest(ROOT + slot)["release"]
    assert number == (2 if slot == "a" else 3), (slot, number)
    if slot == "a":
        update_and_prove()
    else:
        boot_slots.mark_good(ROOT)
    assert boot_slots.select(ROOT) == ("b", False)
    assert install.is_whole(ROOT + "b") and install.read_manifest(ROOT + "b")["release"] == 3
    vfs.umount(ROOT[:-1])
    return slot


image = prepared()
whole = Flash(bytearray(image))
fetched = 0
assert not run_until_the_cut(whole)
report = {"writes": whole.count, "fetched": fetched, "a": 0, "b": 0}
for manner in ("nothing", "half", "garbage", "done"):
    for cut in range(1, whole.count + 1):
        flash = Flash(bytearray(image), cut, manner)
        assert run_until_the_cut(flash), "no cut"
        try:
            report[check_and_finish(flash.content)] += 1
        except Exception as error:
            print("cut", cut, manner)
            raise error
changed = [path for path in NEW if NEW[path] != OLD.get(path)]
report["changed"] = sum(len(NEW[path]) for path in changed)
print(json.dumps(report))
