"""Traffic as sites send it: 1,000 subjects in random order, payloads of 20 to 600 B, hardly two control lines alike.

Always the same messages, so that every server gets the same work.
"""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

LINES = 5
SUBJECTS = 1000
ALL = "plant.>"
_PAYLOAD_BYTES = (20, 600)
_QUANTITIES = ("temperature", "rpm", "vibration.x", "oil.pressure", "state")


@dataclass(frozen=True)
class Message:
    """`line` is the place of the one filter of `line_filters` that takes it."""

    subject: str
    payload: bytes
    line: int


def line_filters() -> list[str]:
    """Disjoint filters, each of which takes a fifth of the subjects; `ALL` takes them all."""
    return [f"plant.line{line}.>" for line in range(LINES)]


def _subjects() -> list[tuple[str, int]]:
    machines = SUBJECTS // LINES // len(_QUANTITIES)
    return [
        (f"plant.line{line}.machine-{machine}.{quantity}", line)
        for line in range(LINES)
        for machine in range(machines)
        for quantity in _QUANTITIES
    ]


def mixed_messages(count: int) -> Sequence[Message]:
    """Round after round through the subjects, each in an order of its own; a subject never follows itself.

    No message is like another: their payloads begin at different places of one long text, and end with a byte that
    counts them.
    """
    choice = random.Random(1)
    letters = (string.ascii_letters + string.digits).encode()
    text = bytes(choice.choices(letters, k=_PAYLOAD_BYTES[1] + 65536))
    subjects = _subjects()
    messages: list[Message] = []
    while len(messages) < count:
        choice.shuffle(subjects)
        if messages and subjects[0][0] == messages[-1].subject:
            subjects.reverse()
        for subject, line in subjects[: count - len(messages)]:
            size, begin = choice.randint(*_PAYLOAD_BYTES), choice.randrange(65536)
            payload = text[begin : begin + size - 1] + bytes((len(messages) % 256,))
            messages.append(Message(subject, payload, line))
    return messages
