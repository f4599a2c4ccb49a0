"""A disk that is full, and has room again."""

from gateway.storage.durability import Durability
from protocols.message import Message


class FullDisk(Durability):
    is_full = True

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0, makes_room: bool = False) -> bool:
        message.refused = self.is_full
        return not self.is_full

    def obstacle(self) -> str | None:
        return "the disk is full" if self.is_full else None
