"""The device's end of the serial link in a real MicroPython, against the gateway's state machine on the other end."""

import os
import select
import time
from collections.abc import Iterator

import pytest

from protocols.serial_link.frames import Frame, FrameDecoder, decode_hello
from protocols.serial_link.link import Link, LinkEvent, LinkSettings, Opened
from tests.integration.serial_line import Pty, micropython
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def line() -> Iterator[Pty]:
    one = Pty()
    try:
        yield one
    finally:
        one.close()


def step(line: Pty, link: Link, decoder: FrameDecoder) -> list[LinkEvent]:
    """Let the link say what is due, and hear what comes until the next time, but no device that does not know it yet:
    so the device's session opens with the gateway's second HELLO, behind which there is more at once.
    """
    events = link.on_deadline(time.monotonic())
    data = link.bytes_to_send(time.monotonic())
    if data:
        os.write(line.master, data)
    readable, _, _ = select.select([line.master], [], [], max(min(link.next_deadline() - time.monotonic(), 0.25), 0.0))
    for frame in decoder.receive(os.read(line.master, 1024)) if readable else ():
        hello = decode_hello(frame.payload) if isinstance(frame, Frame) else None
        if hello is not None and hello.peer_sid == link.sid:
            link.greeted(hello, frame, time.monotonic())
    return events


def test_session_that_ends_as_soon_as_it_is_open_is_followed_by_another(line: Pty):
    sids = iter(range(0x11223344, 0x11224444))
    link = Link(LinkSettings(), lambda: next(sids), time.monotonic())
    opened: list[Opened] = []
    decoder = FrameDecoder(512)
    give_up = time.monotonic() + PATIENCE_SECONDS
    with micropython("serial_sessions.py", line.path):
        while len(opened) < 5:
            assert time.monotonic() < give_up, f"{len(opened)} sessions"
            link.finish()  # HELLO and BYE leave in one piece
            opened += [event for event in step(line, link, decoder) if isinstance(event, Opened)]
    assert len({event.peer.sid for event in opened}) == 5
