# Run by MicroPython's Unix port: what an ESP32's firmware does before main.py, with the flash in a file.
# Arguments: the file, offset and size of the file system, the Wi-Fi network in reach and its password.
import os
import sys
import time
import vfs

SECTOR = 4096
RESET = 42
image, offset, size, ssid, password = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]


class Flash:
    def __init__(self):
        self.file = open(image, "r+b")

    def readblocks(self, block, buffer, start=0):
        self.file.seek(offset + block * SECTOR + start)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, start=None):
        if start is None:
            self.ioctl(6, block)
            start = 0
        self.file.seek(offset + block * SECTOR + start)
        self.file.write(buffer)
        self.file.flush()

    def ioctl(self, operation, argument):
        if operation == 4:
            return size // SECTOR
        if operation == 5:
            return SECTOR
        if operation == 6:
            self.file.seek(offset + argument * SECTOR)
            self.file.write(b"\xff" * SECTOR)
            return 0


class WLAN:
    def __init__(self, interface):
        self.asked = None

    def active(self, on):
        pass

    def connect(self, name, key):
        self.asked = name, key

    def disconnect(self):
        self.asked = None

    def isconnected(self):
        return self.asked == (ssid, password)

    def status(self):
        if self.asked is None:
            return network.STAT_IDLE
        return network.STAT_WRONG_PASSWORD if self.asked[0] == ssid else network.STAT_NO_AP_FOUND

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")


class network:
    STA_IF, STAT_IDLE, STAT_WRONG_PASSWORD, STAT_NO_AP_FOUND = 0, 1000, 202, 201
    WLAN = WLAN


class machine:
    @staticmethod
    def reset():
        sys.exit(RESET)


flash = Flash()
sys.modules["network"] = network
sys.modules["machine"] = machine
vfs.umount("/")
# The firmware would format what it cannot mount; a test must see that instead.
vfs.mount(vfs.VfsLfs2(flash), "/")
sys.path[:] = ["", ".frozen", "/lib"]
os.chdir("/")
print("MicroPython on a file", time.ticks_ms())
with open("/main.py") as main:
    exec(main.read(), {"__name__": "__main__"})
