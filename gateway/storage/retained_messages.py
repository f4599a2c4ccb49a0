"""Retained messages: the last message of each MQTT topic that was published to be kept. In memory, bounded."""

from protocols.message import Message
from protocols.subjects import matches


class RetainedMessages:
    """At most `max_messages` messages and `max_bytes` of payload; a new topic that does not fit is refused."""

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
        old = self._messages.pop(message.subject, None)
        if old is not None:
            self.bytes -= old.size
        if message.size == 0:
            return True
        if len(self._messages) >= self.max_messages or self.bytes + message.size > self.max_bytes:
            self.refused += 1
            if old is not None:
                self._messages[old.subject] = old
                self.bytes += old.size
            return False
        self._messages[message.subject] = message
        self.bytes += message.size
        return True

    def matching(self, subject_filter: bytes) -> list[Message]:
        """The kept messages whose subject a filter matches."""
        literal = self._messages.get(subject_filter)
        if literal is not None:
            return [literal]
        if b"*" not in subject_filter and b">" not in subject_filter:
            return []
        return [message for subject, message in self._messages.items() if matches(subject_filter, subject)]
