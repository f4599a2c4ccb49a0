"""Greeting: finds out who is at the other end of a port, and at which rate; what it prints meanwhile is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from gateway.devices.ports.port import SerialPort
from protocols.serial_link.frames import Frame, FrameDecoder, FrameType, Hello, Text, decode_hello
from protocols.serial_link.link import solicitation

# The rates that devices use most, for those whose rate nobody knows.
COMMON_RATES = (115_200, 921_600, 460_800, 230_400, 2_000_000, 57_600, 9_600)
SOLICIT_SECONDS = 0.25
SOLICIT_LARGEST = 512


@dataclass(frozen=True, slots=True)
class Greeting:
    """A device's HELLO, the frame it came in, and the rate at which it was understood."""

    hello: Hello
    frame: Frame
    baud: int


def rates_to_try(baud: int, auto: bool) -> list[int]:
    """The configured rate first."""
    return list(dict.fromkeys((baud, *COMMON_RATES))) if auto else [baud]


async def greet(port: SerialPort, rates: Sequence[int], tell: Callable[[bytes], None]) -> Greeting:
    """Ask at one rate after the other until a device answers. The port must be open at the first of them.

    Raises PortError when the port is gone.
    """
    while True:
        for rate in rates:
            if len(rates) > 1:
                await port.set_baud(rate)
            decoder = FrameDecoder(SOLICIT_LARGEST)
            await port.write(solicitation())
            with trio.move_on_after(SOLICIT_SECONDS):
                while True:
                    for event in decoder.receive(await port.read()):
                        if isinstance(event, Text):
                            tell(event.data)
                        elif isinstance(event, Frame) and event.type is FrameType.HELLO:
                            hello = decode_hello(event.payload)
                            if hello is not None and hello.sid:
                                return Greeting(hello, event, rate)
