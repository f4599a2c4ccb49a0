"""A queue on LittleFS whose power is cut at every block that is erased or written, in turn. It says "right" when what
was queued, and not done, was there each time, and how many blocks are erased for a message.
"""

import vfs

from leafgate.flash_queue import FlashQueue

SIZE = 4096
BLOCKS = 32
MESSAGES = 60
NO_POWER = 5


class Flash:
    """A NOR flash. `left` operations, and it has no power."""

    def __init__(self, data, left):
        self.data = data
        self.left = left
        self.erased = 0

    def readblocks(self, block, buffer, offset=0):
        start = block * SIZE + offset
        buffer[:] = self.data[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self.use()
        start = block * SIZE + offset
        self.data[start : start + len(buffer)] = buffer

    def erase(self, block):
        self.use()
        self.erased += 1
        self.data[block * SIZE : (block + 1) * SIZE] = b"\xff" * SIZE

    def use(self):
        if not self.left:
            raise OSError(NO_POWER)
        self.left -= 1

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return SIZE
        if operation == 6:
            self.erase(argument)
        return 0


def work(queue, told):
    """Queue messages and do them, a few at a time. `told`: what was queued and what was done, as far as it came."""
    for number in range(MESSAGES):
        queue.put(b"%04d" % number * 30)
        told[0] = number + 1
        if number % 5 == 4:
            while queue.count > 1:
                entry = queue.take()
                told[1] = int(entry[1][:4]) + 1
                queue.done(entry)


def find(flash):
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    queue = FlashQueue("other-", 2048, False, "/flash/queue")
    found = []
    while True:
        entry = queue.take()
        if not entry:
            break
        found.append(int(entry[1][:4]))
    queue.file.close()
    vfs.umount("/flash")
    return found


def main():
    blank = bytearray(BLOCKS * SIZE)
    vfs.VfsLfs2.mkfs(Flash(blank, -1))
    cut = 0
    while True:
        flash = Flash(bytearray(blank), cut)
        told = [0, 0]
        queue = None
        vfs.mount(vfs.VfsLfs2(flash), "/flash")
        try:
            queue = FlashQueue("name-", 2048, False, "/flash/queue")
            work(queue, told)
            break
        except OSError as error:
            assert error.errno == NO_POWER, error
        try:
            queue.file.close()
        except (OSError, AttributeError):
            pass  # it has no power, or was not even opened
        vfs.umount("/flash")
        found = find(Flash(flash.data, -1))
        queued, done = told
        assert found == list(range(found[0], found[-1] + 1)) if found else queued == done, (cut, told, found)
        # The last one may have been whole when the power went, and what is done be not written down yet.
        assert not found or queued - 1 <= found[-1] <= queued, (cut, told, found)
        assert not found or found[0] <= done, (cut, told, found)
        cut += 1
    print(cut, "cuts;", flash.erased / MESSAGES, "blocks erased for a message")
    print("right")


main()
