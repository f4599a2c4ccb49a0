"""Identities: what tells a repeat of a message, where it is kept beside the message and not beside the sessions."""

from typing import NamedTuple


class PublishedId(NamedTuple):
    """An id that a message was published with, as PublishedIds.note knows it."""

    account: str
    identifier: bytes
    sequence: int
    publisher: bytes


class Identities:
    """What is remembered comes to the disk with the message that was taken right before."""

    def remember_received(self, key: int, packet_id: int) -> None:
        """A QoS 2 message came with this id in the session with this key; its PUBREL is awaited."""
        raise NotImplementedError

    def forget_received(self, key: int, packet_id: int) -> bool:
        """Whether it was known."""
        raise NotImplementedError

    def forget_session(self, key: int) -> None:
        """Nothing of this session is needed any more."""
        raise NotImplementedError

    def received(self) -> dict[int, set[int]]:
        """Packet ids by the key of their session."""
        raise NotImplementedError

    def remember_published(self, one: PublishedId) -> None:
        """A message came with this id."""
        raise NotImplementedError

    def forget_published(self, account: str, identifier: bytes) -> bool:
        """Whether it was known."""
        raise NotImplementedError

    def published(self) -> list[PublishedId]:
        """All of them."""
        raise NotImplementedError
