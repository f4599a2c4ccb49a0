"""Hot-plug: wakes who waits for serial ports when the kernel says that one came or went, and now and then anyway."""

import socket

import trio

NETLINK_KOBJECT_UEVENT = 15
# Group 1 is the kernel's own word: it needs no udev, but comes before udev has set the node's permissions.
KERNEL_GROUP = 1
# Containers may hear nothing from the kernel.
POLL_SECONDS = 1.0
# After an event the node may need a moment; it is looked for more often for a while.
SETTLE_SECONDS = 2.0
SETTLE_POLL_SECONDS = 0.1
LARGEST_EVENT = 8192


class Hotplug:
    """Use as a context manager."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._settled_at = 0.0

    def __enter__(self) -> "Hotplug":
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)
            self._socket.bind((0, KERNEL_GROUP))
            self._socket.setblocking(False)
        except (OSError, AttributeError):
            self._close()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    async def wait(self) -> None:
        """Return when it is time to look which ports there are."""
        settling = trio.current_time() < self._settled_at
        with trio.move_on_after(SETTLE_POLL_SECONDS if settling else POLL_SECONDS):
            while self._socket is not None:
                await trio.lowlevel.wait_readable(self._socket)
                if self._drain():
                    self._settled_at = trio.current_time() + SETTLE_SECONDS
                    return
            await trio.sleep_forever()

    def _drain(self) -> bool:
        """Read what is there; whether a tty was among it."""
        found = False
        assert self._socket is not None
        try:
            while True:
                found |= is_tty_event(self._socket.recv(LARGEST_EVENT))
        except BlockingIOError:
            return found
        except OSError:
            return True  # Too many at once: some were dropped.

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def is_tty_event(event: bytes) -> bool:
    """Whether a kernel event tells of a serial port that came or went."""
    fields = event.split(b"\0")
    return b"SUBSYSTEM=tty" in fields and (b"ACTION=add" in fields or b"ACTION=remove" in fields)
