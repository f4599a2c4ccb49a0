"""Backlog: how much of all streams waits for their database, as those see it who add to it (hot)."""


class Backlog:
    """`bytes` of messages are not on the disk yet; up to `room` of them there may be without a closer look, 0 where
    nothing can be taken. `changes` counts whatever is to be written. `turn` is another number for each commit, and for
    the time between two of them: who waits for the disk since the same turn waits for the same commit.
    """

    __slots__ = ("bytes", "changes", "room", "turn")

    def __init__(self) -> None:
        self.bytes = 0
        self.changes = 0
        self.room = 0
        self.turn = 0
