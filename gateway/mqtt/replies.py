"""Replies to MQTT requests that carry correlation data: it travels in the reply subject, and here it comes off again.

So a responder that knows nothing of MQTT answers a request of an MQTT 5.0 client, and nothing has to be remembered.
"""

from gateway.accounts.account import Account
from gateway.accounts.passing_on import Passage, PassingRoute
from gateway.dataplane.port import Port, Receiver
from protocols.message import Message, make_message
from protocols.mqtt.header_mapping import with_correlation
from protocols.mqtt.reply_subjects import MOST_NESTED, REPLY_PREFIX, parse_reply, reply_filter


class ReplyPort(Port):
    """The place of what takes replies."""

    __slots__ = ()

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        return receivers[0]


class ReplyPassage(Passage):
    """A reply on its way to the response topic: published there by whoever answers."""

    __slots__ = ()

    def begin(self, source: Port) -> object:
        return self.router.begin(self.message, source)

    def deliver(self, source: Port) -> int:
        return self.router.publish(self.message, source)


class ReplyReceiver(PassingRoute):
    """Takes what is sent to this gateway's own reply subjects and sends it on to the response topic."""

    __slots__ = ("_account", "_gateway_id")

    def __init__(self, account: Account, gateway_id: bytes) -> None:
        super().__init__(ReplyPort(None), reply_filter(gateway_id), b"")
        self.combines = True
        self._account = account
        self._gateway_id = gateway_id

    def reach(self, subject: bytes) -> int:
        topic, _ = parse_reply(subject, self._gateway_id)
        nested = topic == subject or subject.count(REPLY_PREFIX) > MOST_NESTED
        return 0 if nested else self._account.router.reach(topic)

    def passage(self, message: Message, source: Port) -> Passage | None:
        if message.subject.count(REPLY_PREFIX) > MOST_NESTED:
            return None
        reply = self.unwrap(message)
        return None if reply is message else ReplyPassage(self._account.router, reply)

    def unwrap(self, message: Message) -> Message:
        """The message for the response topic; the same one where its subject is no reply subject of this gateway."""
        subject, correlation = parse_reply(message.subject, self._gateway_id)
        if subject == message.subject:
            return message
        header = with_correlation(message.header(), correlation)
        reply = make_message(subject, message.payload(), message.reply, header)
        reply.qos = message.qos
        return reply
