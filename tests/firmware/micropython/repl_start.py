# Run by MicroPython's Unix port with -i: a board whose file system is in a file, at its prompt.
# Arguments: the file, and a program to run. What a firmware's _boot.py does; the interactive prompt follows.
import os
import sys
import vfs

SECTOR = 4096
RESET = 42


class Flash:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.blocks = self.file.seek(0, 2) // SECTOR

    def readblocks(self, block, buffer, start=0):
        self.file.seek(block * SECTOR + start)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, start=0):
        self.file.seek(block * SECTOR + start)
        self.file.write(buffer)
        self.file.flush()

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return SECTOR
        if operation == 6:
            self.writeblocks(argument, b"\xff" * SECTOR)
            return 0


class machine:
    @staticmethod
    def reset():
        sys.exit(RESET)


open("/dev/stdin").close()  # a terminal that a session's leader opens is the one whose Ctrl-C reaches it
sys.modules["machine"] = machine
flash = Flash(sys.argv[1])
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(flash), "/")
sys.path[:] = ["", ".frozen", "/lib"]
os.chdir("/")
for program in sys.argv[2:]:
    with open(program) as file:
        exec(file.read(), {"__name__": "__main__"})
