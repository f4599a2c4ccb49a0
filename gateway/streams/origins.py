"""Origins: the other streams that one has its messages from, as its mirror or as its sources."""

from gateway.streams.inflow import Inflow
from gateway.streams.mirror import Mirror
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
            once = sum(other.name == source.name for other in config.sources or ()) < 2
            is_known = name in self._stream.stored.cursors
            self._add(name, Source(self._stream, source, self._stream.stored.cursor(name, 0), once, is_known))

    def _add(self, name: str, inflow: Inflow) -> None:
        self._inflows[name] = inflow
        inflow.open()

    def close(self) -> None:
        """Nothing comes any more."""
        for inflow in self._inflows.values():
            inflow.close()
        self._inflows.clear()

    def configure(self) -> None:
        """The configuration has become another: what is in it still goes on."""
        config = self._stream.config
        wanted = {PREFIX + source.index for source in config.sources or ()}
        if config.mirror is not None:
            wanted.add(PREFIX + "mirror")
        for name in [name for name in self._inflows if name not in wanted]:
            self._inflows.pop(name).close()
            self._stream.stored.remove_cursor(name)
        if config.mirror is None:
            self.open()

    def told(self) -> dict[str, object]:
        """What a stream's description says of them."""
        found = [inflow.told() for inflow in self._inflows.values()]
        if not found:
            return {}
        return {"mirror": found[0]} if self._stream.config.mirror is not None else {"sources": found}
