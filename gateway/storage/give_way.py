"""GiveWay: makes trio's loop let the writing thread have the interpreter's lock. A loop of its own calls
`Journal.give_way` itself.
"""

import trio

from gateway.storage.journal import Journal


class GiveWay(trio.abc.Instrument):
    """To be added to trio's instruments while the journal runs."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def before_io_wait(self, timeout: float) -> None:
        self._journal.give_way()
