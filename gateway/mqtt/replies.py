"""Replies to MQTT requests that carry correlation data: it travels in the reply subject, and here it comes off again.

So a responder that knows nothing of MQTT answers a request of an MQTT 5.0 client, and nothing has to be remembered.
"""

from gateway.accounts.account import Account
from gateway.dataplane.port import Port, Receiver
from protocols.message import Message, make_message
from protocols.mqtt.header_mapping import with_correlation
from protocols.mqtt.reply_subjects import REPLY_PREFIX, parse_reply, reply_filter

# A response topic can itself be a reply subject, and so on; each is a turn of its own through the router.
MOST_NESTED = 4


class ReplyReceiver(Receiver):
    """Takes what is sent to this gateway's own reply subjects and sends it on to the response topic."""

    __slots__ = ("_account", "_gateway_id")

    def __init__(self, account: Account, gateway_id: bytes) -> None:
        super().__init__(Port(None), reply_filter(gateway_id), b"")
        self._account = account
        self._gateway_id = gateway_id

    def deliver(self, message: Message, source: Port) -> bool:
        if message.subject.count(REPLY_PREFIX) > MOST_NESTED:
            return False
        subject, correlation = parse_reply(message.subject, self._gateway_id)
        if subject == message.subject:
            return False
        header = with_correlation(message.header(), correlation)
        reply = make_message(subject, message.payload(), message.reply, header)
        reply.qos = message.qos
        delivered = self._account.publish(reply, source)
        # Whoever answers for the one answers for the other.
        message.refused = message.refused or reply.refused
        return delivered > 0
