# Run by MicroPython's Unix port: a board's start, with a directory as its file system and the watchdog of a chip.
# Arguments: the directory, the chip. Prints what becomes of the watchdog, "timer" when one is started, "reset" at that.
import os
import sys
import vfs

RESET = 42
directory, chip = sys.argv[1:]


class WDT:
    most = {"esp32": 100_000_000, "stm32": 32_768, "rp2350": 16_777, "rp2040": 8388}

    def __init__(self, timeout=5000):
        if timeout > self.most[chip]:
            raise ValueError("timeout exceeds %d" % self.most[chip])
        print("watchdog", timeout)

    def feed(self):
        print("fed")


class FixedWDT(WDT):
    def __init__(self):
        print("watchdog as it is")


class Timer:
    def __init__(self, number):
        if number >= 0:
            raise ValueError("Timer doesn't exist")

    def init(self, period, callback):
        print("timer")
        callback(self)


class machine:
    Timer = Timer

    @staticmethod
    def reset():
        print("reset")
        sys.exit(RESET)


if chip != "none":
    machine.WDT = FixedWDT if chip == "esp8266" else WDT
sys.modules["machine"] = machine
vfs.umount("/")
vfs.mount(vfs.VfsPosix(directory), "/")
sys.path[:] = ["", ".frozen", "/lib"]
os.chdir("/")
with open("/main.py") as main:
    exec(main.read(), {"__name__": "__main__"})
