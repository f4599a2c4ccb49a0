"""Greeting: the order of the rates, and who answers at which."""

import trio

from gateway.devices.ports.greeting import COMMON_RATES, greet, rates_to_try
from protocols.serial_link.frames import FrameType, Hello, encode_frame

HELLO = Hello(0x11223344, 0, 256, 4096, "node-1")


class LineAt:
    """A port whose device understands one rate, and prints at any."""

    name = "line"

    def __init__(self, rate: int) -> None:
        self.right = rate
        self.rate = 115_200
        self.say, self.heard = trio.open_memory_channel[bytes](100)
        self.say.send_nowait(b"rst:0x1\r\n")

    async def read(self) -> bytes:
        return await self.heard.receive()

    async def write(self, data: bytes) -> None:
        if self.rate == self.right:
            answer = encode_frame(FrameType.HELLO, 0, 0, 0, 2048, HELLO.encode(), console=True)
            self.say.send_nowait(b"\xc0" + answer[:9])
            self.say.send_nowait(answer[9:])
        else:
            self.say.send_nowait(b"\x80\xf8\x00\x1c")

    async def set_baud(self, rate: int) -> None:
        self.rate = rate

    def close(self) -> None:
        pass


def test_configured_rate_is_tried_first_and_alone_without_auto_baud():
    assert rates_to_try(9600, auto=False) == [9600]
    assert rates_to_try(57_600, auto=True)[0] == 57_600
    assert sorted(rates_to_try(57_600, auto=True)) == sorted(COMMON_RATES)
    assert rates_to_try(31_250, auto=True) == [31_250, *COMMON_RATES]


async def test_device_is_found_at_its_rate_and_what_it_prints_is_told(autojump_clock):
    told: list[bytes] = []
    greeting = await greet(LineAt(460_800), rates_to_try(115_200, auto=True), told.append)
    assert (greeting.hello, greeting.baud) == (HELLO, 460_800)
    assert told == [b"rst:0x1\r\n"]
