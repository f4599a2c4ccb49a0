"""A local port, on a pty: it is ours alone, an idle line is no end, and the end has a reason."""

import errno
import os
import pty
import tty
from collections.abc import Iterator

import pytest
import trio

from gateway.devices.ports.port import LocalPort, PortError, describe


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


async def test_bytes_go_both_ways_and_silence_is_waited_for(line):
    master, path = line
    port = LocalPort(path, 115_200)
    with trio.move_on_after(0.05) as idle:
        await port.read()
    assert idle.cancelled_caught
    os.write(master, b"up")
    assert await port.read() == b"up"
    await port.write(b"down")
    assert os.read(master, 10) == b"down"
    port.close()


async def test_second_opener_is_told_that_it_is_in_use(line):
    port = LocalPort(line[1], 115_200)
    with pytest.raises(PortError, match="in use by another program"):
        LocalPort(line[1], 115_200)
    port.close()
    LocalPort(line[1], 115_200).close()


def test_path_without_a_port_is_told():
    with pytest.raises(PortError, match="no such file"):
        LocalPort("/dev/ttyNOTHING", 115_200)


async def test_unplugging_ends_a_read():
    master, slave = pty.openpty()
    port = LocalPort(os.ttyname(slave), 115_200)
    os.close(slave)
    os.close(master)
    with pytest.raises(PortError, match=r"hung up|unplugged"):
        await port.read()
    port.close()


async def test_rate_is_changed_once_everything_is_on_the_line(line):
    port = LocalPort(line[1], 115_200)
    await port.write(b"x")
    os.read(line[0], 1)
    await port.set_baud(921_600)
    assert port._port.baudrate == 921_600
    # pyserial sets VMIN to 0 again, where silence would read like the end.
    with trio.move_on_after(0.05) as idle:
        await port.read()
    assert idle.cancelled_caught
    port.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EAGAIN, "x"), "in use by another program"),
        (OSError(errno.EBUSY, "x"), "in use by another program"),
        (OSError(errno.EIO, "x"), "unplugged"),
        (OSError(errno.EACCES, "x"), "permission denied"),
        (ValueError("Invalid baud rate: 3"), "Invalid baud rate: 3"),
    ],
)
def test_errors_are_said_in_a_few_words(error, words):
    assert describe(error) == words
