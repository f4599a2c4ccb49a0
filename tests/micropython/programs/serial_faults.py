"""Functions of the application that raise: a callback of the tiny client's, and the change of a link's rate."""

from leafgate.serial_link import SerialLink
from leafgate.serial_tiny import Client


class Silent:
    """A UART where nothing is."""

    def readinto(self, buffer):
        return None

    def write(self, data):
        return len(data)


def fail(*arguments):
    raise ValueError("the application's")


def tiny():
    client = Client(Silent(), console=False)
    client.subscribe("a", fail)
    client.up = client.connected = client._login = True
    client._in = b"MSG a 1 2\r\nhi\r\n"
    for _ in range(10):
        try:
            client.poll()
        except ValueError as error:
            print("raised", error)
            break
    print("busy", client._busy)


def rate():
    link = SerialLink(Silent(), baud=115200, set_baud=fail)
    link._rate(921600)
    print("rate", link.baud)


tiny()
rate()
