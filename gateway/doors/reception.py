"""Reception: the doors that are open, and how they become others while the gateway runs."""

import socket
from collections.abc import Callable, Iterable, Sequence

import trio

from gateway.doors.door import Door
from gateway.doors.listeners import OpenListener, open_listener
from gateway.settings.schema import Config


class Reception:
    """`make_door` makes the door of an open listener. A connection outlives the door that it came through."""

    def __init__(self, make_door: Callable[[OpenListener], Door]) -> None:
        self.doors: list[Door] = []
        self._make_door = make_door

    @property
    def listeners(self) -> list[OpenListener]:
        return [door.listener for door in self.doors]

    def let_in(self, listener: OpenListener) -> None:
        door = self._make_door(listener)
        door.open()
        self.doors.append(door)

    def put_in_order(self, listeners: Sequence[OpenListener]) -> None:
        """Doors came as their addresses could be had."""
        self.doors.sort(key=lambda door: listeners.index(door.listener))

    def close(self) -> None:
        for door in self.doors:
            door.close()

    async def prepare(self, old: Config, new: Config) -> "DoorChange | None":
        """Open what is new (gateway.reloading.reloader.Part). Raises ListenError."""
        before = [door.listener.config for door in self.doors]
        if before == list(new.listeners):
            return None
        from gateway.settings.difference import listener_label, match  # The start does without.

        matching = match(before, new.listeners, listener_label)
        kept = {now: self.doors[index] for index, now in matching.pairs}
        removed = [self.doors[index] for index in matching.removed]
        change = DoorChange(self, removed)
        try:
            for index, listener in enumerate(new.listeners):
                door = kept.get(index)
                if door is None:
                    shared = share_port(removed, listener.port)
                    # In a thread: to look a name up may take long.
                    opened = await trio.to_thread.run_sync(open_listener, new, index, shared)
                    change.add(opened)
                    door = self._make_door(opened)
                elif door.listener.config != listener:
                    change.succeed(door)
                    door = self._make_door(OpenListener(listener, door.listener.socket))
                change.doors.append(door)
        except BaseException:
            change.abandon()
            raise
        return change


class DoorChange:
    """Other doors, made but not open (gateway.reloading.reloader.Step). `doors` are all that there shall be."""

    def __init__(self, reception: Reception, removed: list[Door]) -> None:
        self.doors: list[Door] = []
        self._reception = reception
        self._removed = removed
        self._replaced: list[Door] = []
        self._opened: list[OpenListener] = []

    def add(self, listener: OpenListener) -> None:
        """A socket that is open for a new door."""
        self._opened.append(listener)

    def succeed(self, door: Door) -> None:
        """A door whose socket another one takes over."""
        self._replaced.append(door)

    def apply(self) -> None:
        for door in self._replaced:
            door.leave()
        for door in self._removed:
            door.read_ready()  # Who has arrived already is taken: to close would throw them out.
            door.close()
        for door in self.doors:
            if door not in self._reception.doors:
                door.open()
        self._reception.doors = self.doors

    def abandon(self) -> None:
        for listener in self._opened:
            listener.socket.close()
        share(self._removed, False)


def share_port(doors: Iterable[Door], port: int) -> bool:
    """Whether one of these doors has the port. It can be had once more then: the new door opens before that one
    closes.
    """
    those = [door for door in doors if port and door.listener.port == port]
    share(those, True)
    return bool(those)


def share(doors: Iterable[Door], wanted: bool) -> None:
    for door in doors:
        door.listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, wanted)
