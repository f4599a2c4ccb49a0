"""Account: one isolated subject space, and what belongs to it."""

from gateway.dataplane.router import Router
from gateway.storage.retained_messages import RetainedMessages

GLOBAL_ACCOUNT = "$G"


class Account:
    """A router with a subject tree of its own: what is published in one account never reaches another."""

    def __init__(self, name: str, retained: RetainedMessages) -> None:
        self.name = name
        self.router = Router()
        self.retained = retained
