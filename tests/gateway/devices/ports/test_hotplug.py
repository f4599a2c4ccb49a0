"""Hot-plug: the kernel's words about serial ports, and looking anyway where it says nothing."""

import pytest
import trio

from gateway.devices.ports import hotplug
from gateway.devices.ports.hotplug import POLL_SECONDS, Hotplug, is_tty_event

ADD = b"add@/devices/pci/usb1/1-1/ttyUSB0/tty/ttyUSB0\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=tty\0DEVNAME=ttyUSB0\0"


@pytest.mark.parametrize(
    ("event", "is_one"),
    [
        (ADD, True),
        (ADD.replace(b"add", b"remove"), True),
        (ADD.replace(b"add", b"change"), False),
        (ADD.replace(b"SUBSYSTEM=tty", b"SUBSYSTEM=usb"), False),
        (b"", False),
        (b"\0\0SUBSYSTEM=tty", False),
        (b"libudev\0\xfe\xed\xca\xfe", False),
    ],
)
def test_only_serial_ports_that_come_or_go_wake(event, is_one):
    assert is_tty_event(event) is is_one


async def test_without_the_kernel_it_is_looked_every_second(autojump_clock, monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(hotplug.socket, "socket", forbidden)
    with Hotplug() as watch:
        for _ in range(3):
            before = trio.current_time()
            await watch.wait()
            assert trio.current_time() - before == pytest.approx(POLL_SECONDS)
