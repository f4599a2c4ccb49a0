"""Serial lines: what a device prints becomes messages line by line, however it comes in."""

import pytest

from gateway.assembly import Gateway
from gateway.dataplane.port import Port, Receiver
from gateway.devices.lines import LONGEST_LINE, SerialLines
from gateway.settings.schema import Config
from gateway.settings.serial import Serial
from protocols.message import Message


class Listener(Receiver):
    """Remembers what a device said."""

    def __init__(self) -> None:
        super().__init__(Port(None), b"devices.>", b"")
        self.heard: list[tuple[bytes, bytes]] = []

    def deliver(self, message: Message, source: Port) -> bool:
        self.heard.append((message.subject, message.payload()))
        return True


@pytest.mark.parametrize("step", [1, 1000, LONGEST_LINE, 100_000])
async def test_line_that_is_too_long_is_left_out_as_a_whole(step: int) -> None:
    gateway, listener = Gateway(Config()), Listener()
    gateway.account.router.subscribe(listener)
    device = SerialLines(gateway.runtime, gateway.account, Serial(port="/dev/ttyX"), "d1")
    longest = b"t=" + b"1" * (LONGEST_LINE - 2)
    data = b"a=1\n" + b"x" * LONGEST_LINE + b"y=2\n" + longest + b"\n" + b"x" * 3 * LONGEST_LINE + b"\nb=3\r\nc="
    for start in range(0, len(data), step):
        device.receive(data[start : start + step])
    assert listener.heard == [(b"devices.d1.a", b"1"), (b"devices.d1.t", longest[2:]), (b"devices.d1.b", b"3")]
