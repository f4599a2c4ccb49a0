"""The tiny profile's device on a tty: TTY."""

import sys
import termios

import tiny_node
from leafgate.serial_tiny import Client

tty = open(sys.argv[1], "r+b")  # noqa: SIM115 - the device keeps it for good
termios.setraw(tty.fileno())
settings = termios.tcgetattr(tty.fileno())
settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
termios.tcsetattr(tty.fileno(), termios.TCSANOW, settings)

tiny_node.client = Client(tty, "tiny-1", 256, False)
tiny_node.run()
