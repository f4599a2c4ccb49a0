"""Entrance: opens every address that is configured, and waits at the start for those that are not there yet.

An interface that comes up late, a port that an earlier process still holds and a name that does not resolve yet are no
faults of the file. What is open is served meanwhile.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from gateway.doors.listeners import OpenListener, open_listener
from gateway.errors import ListenError
from gateway.settings.schema import Config

log = logging.getLogger("leafgate.listeners")

RETRY_SECONDS = 1.0
MONITORING = "monitoring"


class Entrance:
    """`listeners` are those that are open. `faults` says, by address, what is wrong with those that are not."""

    def __init__(
        self, config: Config, open_monitoring: Callable[[], str] | None, faults: dict[str, str] | None = None
    ) -> None:
        self.faults: dict[str, str] = {} if faults is None else faults
        self.monitoring: str | None = None
        self.monitoring_is_open = trio.Event()
        self._config = config
        self._opened: dict[int, OpenListener] = {}
        self._missing: dict[str, Callable[[], Any]] = {}
        for index in range(len(config.listeners)):
            self._missing[f"{index}"] = partial(open_listener, config, index)
        if open_monitoring is not None:
            self._missing[MONITORING] = open_monitoring

    @property
    def listeners(self) -> list[OpenListener]:
        return [self._opened[index] for index in sorted(self._opened)]

    def addresses(self) -> list[tuple[str, str]]:
        """Protocol and address of every listener, open or not."""
        return [
            (one.protocol, self._opened[index].address if index in self._opened else one.address)
            for index, one in enumerate(self._config.listeners)
        ]

    def open_at_once(self) -> None:
        """Open what can be opened now. Raises ListenError where nothing is to be waited for."""
        for name in list(self._missing):
            try:
                self._take(name, self._missing[name]())
            except ListenError as error:
                if not self._config.timeouts.start_seconds:
                    self.close()
                    raise
                self._note(name, error)

    async def open_the_rest(self, let_in: Callable[[OpenListener], None]) -> None:
        """Try on until all is open; each listener is let in when it is. Raises ListenError when the time is over."""
        deadline = trio.current_time() + self._config.timeouts.start_seconds
        while self._missing:
            await trio.sleep(min(RETRY_SECONDS, max(deadline - trio.current_time(), 0)))
            for name in list(self._missing):
                try:
                    # In a thread: to look a name up may take long.
                    found = await trio.to_thread.run_sync(self._missing[name], abandon_on_cancel=True)
                except ListenError as error:
                    if trio.current_time() >= deadline:
                        raise
                    self._note(name, error)
                    continue
                self._take(name, found)
                if isinstance(found, OpenListener):
                    let_in(found)
                log.info("event=opened-late address=%r", self._address(name))

    def close(self) -> None:
        for listener in self._opened.values():
            listener.socket.close()

    def _take(self, name: str, found: Any) -> None:
        del self._missing[name]
        self.faults.pop(self._address(name), None)
        if isinstance(found, OpenListener):
            self._opened[int(name)] = found
        else:
            self.monitoring = found
            self.monitoring_is_open.set()

    def _note(self, name: str, error: ListenError) -> None:
        address, text = self._address(name), str(error)
        if self.faults.get(address) != text:
            self.faults[address] = text
            log.warning("event=waiting-for-address address=%r reason=%r", address, text)

    def _address(self, name: str) -> str:
        """As it is configured."""
        if name == MONITORING:
            return f"http {self._config.monitoring.address}"
        listener = self._config.listeners[int(name)]
        return f"{listener.protocol} {listener.address}"
