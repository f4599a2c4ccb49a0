# A board's pins and UARTs, for the Unix port. Pins print what they are set to; the environment names UART n's tty.
import os
import termios


class Pin:
    IN = 0
    OUT = 1

    def __init__(self, number, mode=IN, value=None):
        self.number = number
        self._value = 0
        if value is not None:
            self.value(value)

    def value(self, value=None):
        if value is None:
            return self._value
        self._value = int(bool(value))
        print("pin", self.number, "is", self._value)
        return None


def UART(number, baud, tx, rx, rxbuf, txbuf, timeout):
    assert baud == 921600 and timeout == 0
    file = open(os.getenv("UART_%d" % number), "r+b")
    termios.setraw(file.fileno())
    settings = termios.tcgetattr(file.fileno())
    settings[4] = settings[5] = termios.B921600
    settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
    termios.tcsetattr(file.fileno(), termios.TCSANOW, settings)
    return file
