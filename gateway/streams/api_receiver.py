"""ApiReceiver: hears the requests to the API that come in one form of subject (hot)."""

from typing import Any

from gateway.dataplane.nats_receivers import LeafPort
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.streams.prompt_gets import PromptGets
from protocols.message import Message

DIRECT = b"DIRECT.GET."
# What a direct get costs that is answered at once, in deliveries.
PROMPT = 8
# What every other request costs more than that.
EFFORT = SERVICE - PROMPT


class ApiReceiver(Receiver):
    """`prefix` is what all subjects begin with; `api` takes what is not answered at once (gateway.streams.api)."""

    __slots__ = ("_api", "_begin", "_gets", "_size")

    def __init__(self, prefix: bytes, api: Any, gets: PromptGets, local_only: bool) -> None:
        super().__init__(Port(None), prefix + b">", b"")
        self.dear = PROMPT
        self.local_only = local_only
        self._api = api
        self._gets = gets
        self._size = len(prefix)
        self._begin = prefix + DIRECT

    def deliver(self, message: Message, source: Port) -> bool:
        # What a hub asks without a domain is for the hub itself; a spoke without streams of its own asks us.
        if self.local_only and source.leaf and not (isinstance(source, LeafPort) and not source.uplink):
            return False
        subject = message.subject
        begin = self._begin
        if subject.startswith(begin) and self._gets.answer(subject[len(begin) :], message, source):
            return True
        source.effort += EFFORT
        taken: bool = self._api.take(subject[self._size :], message, source)
        return taken
