"""Retained messages: the last message of each MQTT topic that was published to be kept. In memory, bounded."""

from protocols.message import Message
from protocols.subjects import is_literal, matches


class RetainedMessages:
    """At most `max_messages` messages with `max_bytes` of subjects and payloads.

    One that does not fit is refused and counted; what is kept of its subject stays.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.bytes = 0
        self.refused = 0
        self._messages: dict[bytes, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> bool:
        """Replace the subject's message; an empty payload deletes it. False when there is no room."""
        old = self._messages.get(message.subject)
        freed = cost(old) if old is not None else 0
        if message.size == 0:
            self._messages.pop(message.subject, None)
            self.bytes -= freed
            return True
        grown = self.bytes - freed + cost(message)
        if grown > self.max_bytes or (old is None and len(self._messages) >= self.max_messages):
            self.refused += 1
            return False
        self._messages[message.subject] = message
        self.bytes = grown
        return True

    def matching(self, subject_filter: bytes) -> list[Message]:
        """The kept messages whose subject a filter matches."""
        if is_literal(subject_filter):
            message = self._messages.get(subject_filter)
            return [] if message is None else [message]
        return [message for subject, message in self._messages.items() if matches(subject_filter, subject)]


def cost(message: Message) -> int:
    """The bytes that a message is counted with."""
    return len(message.subject) + message.size
