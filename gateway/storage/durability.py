"""Durability: what those who answer peers ask about the disk, whether there is one or not.

Take a `mark`, act, and answer with `when_durable`: where acting changed something that must survive, the answer waits
for the commit that holds the change.
"""

from collections.abc import Callable

from gateway.storage.identities import Identities
from protocols.message import Message

TOO_SLOW = "the disk is too slow"


class Durability:
    """Memory: nothing survives, so nothing waits and nothing fails. The journal is the one with a disk.

    `fault` says why nothing can be written now.
    """

    fault: str | None = None

    def mark(self) -> int:
        """A number that is another one once something that must survive has changed."""
        return 0

    def awaited(self) -> object | None:
        """What stands for the commit that `when_durable` waits for; None when everything is durable."""
        return None

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        """Call `action` once everything noted so far is durable; at once when it is. Where something that was noted can
        never be written, `refused` is called instead, if it is given.
        """
        action()

    def identities(self, subject: bytes) -> Identities | None:
        """What keeps the ids of messages on a subject, so that an id is on the disk when its message is; None where the
        ids have their place with the sessions. To be asked behind the message, with nothing but that since `mark`.
        """
        return None

    def has_room(self) -> bool:
        """Whether more may be stored. What frees room, and what a session is, is noted all the same."""
        return True

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0, makes_room: bool = False) -> bool:
        """Whether there is room for a message in so many queues, and for the retained one of its subject, beside so
        many like it that come `before`. The caller fills them all. Where there is no room the message is `refused`, and
        no queue takes it. One that `makes_room` because it deletes something has some on a full disk, too.
        """
        return True

    def obstacle(self) -> str | None:
        """Why no more may be stored, if so."""
        return None
