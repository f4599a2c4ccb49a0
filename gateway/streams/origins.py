"""Origins: the other streams that one has its messages from, as its mirror or as its sources."""

from gateway.streams.inflow import Inflow
from gateway.streams.mirror import Mirror
from gateway.streams.origin_config import StreamOrigin
from gateway.streams.roles import Copying
from gateway.streams.source import Source

# How the cursors are called that keep how far a stream has come with each; no consumer's name has a `/`.
PREFIX = "origin/"


class Origins:
    """Those of one stream, as its configuration says."""

    def __init__(self, stream: Copying) -> None:
        self._stream = stream
        self._inflows: dict[str, Inflow] = {}

    def open(self) -> None:
        """Have messages come from now on."""
        config = self._stream.config
        if config.mirror is not None:
            name = PREFIX + "mirror"
            self._add(name, Mirror(self._stream, config.mirror, self._stream.stored.cursor(name, 0)))
        for source in config.sources or ():
            name = PREFIX + source.index
            if name in self._inflows:
                continue
            is_known = name in self._stream.stored.cursors
            cursor, once = self._stream.stored.cursor(name, 0), self._is_once(source)
            self._add(name, Source(self._stream, source, cursor, once, is_known))

    def _is_once(self, source: StreamOrigin) -> bool:
        return sum(other.name == source.name for other in self._stream.config.sources or ()) < 2

    def _add(self, name: str, inflow: Inflow) -> None:
        self._inflows[name] = inflow
        inflow.open()

    def close(self) -> None:
        """The stream is deleted."""
        for inflow in self._inflows.values():
            inflow.leave()
        self._inflows.clear()

    def configure(self) -> None:
        """The configuration has become another: what is in it still goes on."""
        config = self._stream.config
        wanted = {PREFIX + source.index: self._is_once(source) for source in config.sources or ()}
        if config.mirror is not None:
            wanted[PREFIX + "mirror"] = True
        for name, inflow in [*self._inflows.items()]:
            if name not in wanted:
                self._inflows.pop(name).leave()
                self._stream.stored.remove_cursor(name)
            elif isinstance(inflow, Source) and inflow.once is not wanted[name]:
                self._inflows.pop(name).leave()  # Its consumer is called otherwise from now on.
        if config.mirror is None:
            self.open()

    def told(self) -> dict[str, object]:
        """What a stream's description says of them."""
        found = [inflow.told() for inflow in self._inflows.values()]
        if not found:
            return {}
        return {"mirror": found[0]} if self._stream.config.mirror is not None else {"sources": found}
