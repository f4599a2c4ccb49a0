"""What two gateways of a pair say to each other, in MessagePack: packets, and the changes of sessions in them."""

import msgspec

VERSION = 1
# What one packet may take: a batch, or the list of all sessions.
MOST_BYTES = 64 << 20


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Tagged by the name of its class; fields in order."""


class OfSession(Wire, frozen=True):
    """Something of the session with this client identifier, or about it."""

    id: bytes


class Subscription(msgspec.Struct, frozen=True, array_like=True):
    """As the client asked for it (MQTT 5.0, 3.8.3); `identifier` 0: it has none."""

    topic_filter: bytes
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    identifier: int


class Content(msgspec.Struct, frozen=True, array_like=True):
    """A message as a session has it queued. `expires_in` is in seconds, 0.0: never."""

    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    expires_in: float
    subject: bytes
    reply: bytes
    header_size: int
    body: bytes
    published_qos: int


class Head(OfSession, frozen=True):
    """What a session is, besides what is in it."""

    version: int
    expiry_seconds: int
    user: str
    proof: bytes


class Begun(Wire, frozen=True):
    """Everything about a session comes anew, up to Whole."""

    head: Head
    subscriptions: list[Subscription]
    received: list[int]


class Subscribed(OfSession, frozen=True):
    subscription: Subscription


class Unsubscribed(OfSession, frozen=True):
    topic_filter: bytes


class Queued(OfSession, frozen=True):
    """A place in the queue; without content one of QoS 2 that is released."""

    sequence: int
    content: Content | None


class Released(OfSession, frozen=True):
    """Places of QoS 2 whose messages the client has (PUBREC, [MQTT-4.3.3-7]): what is left of them is to end."""

    sequences: list[int]


class Gone(OfSession, frozen=True):
    """Places that are over: the client has what was there, or there was no room or time for it."""

    sequences: list[int]


class Received(OfSession, frozen=True):
    """Packet identifiers of QoS 2 that the client has sent and not released: all of them."""

    packet_ids: list[int]


class Whole(OfSession, frozen=True):
    """Everything that there was of it has been told since Begun."""


class Ended(OfSession, frozen=True):
    """The session is no more."""


class Yours(OfSession, frozen=True):
    """The session is the other gateway's as soon as it says that it has it."""


class Merged(OfSession, frozen=True):
    """A message that only the gateway that gives the session up has."""

    content: Content


Item = Begun | Head | Subscribed | Unsubscribed | Queued | Released | Gone | Received | Whole | Ended | Yours | Merged


class Hello(Wire, frozen=True):
    """The first word, of the gateway that has opened the link."""

    version: int
    nonce: bytes


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """Who a gateway is, and where clients find it."""

    server_id: str
    name: str
    domain: str
    nats: list[str]
    websocket: list[str]
    mqtt: str


class Welcome(Wire, frozen=True):
    """The answer: `proof` is that its gateway knows the secret, made with both nonces (gateway.pair.pair_link)."""

    version: int
    nonce: bytes
    proof: bytes
    facts: Facts


class Introduction(Wire, frozen=True):
    """The same of the gateway that has opened the link."""

    proof: bytes
    facts: Facts


class Moved(Wire, frozen=True):
    """Clients find the gateway somewhere else now, or nowhere, because it ends."""

    facts: Facts


class Owned(msgspec.Struct, frozen=True, array_like=True):
    """A session of the gateway that says it. `used` is when a client came to it while the two were apart (unix time,
    0.0: none did); `through` the last place in its queue that both had, -1 where it was never the other one's.
    """

    id: bytes
    user: str
    connected: bool
    used: float
    through: int


class Sessions(Wire, frozen=True):
    """The sessions of the gateway that says it, when the two meet."""

    owned: list[Owned]


class Settled(Wire, frozen=True):
    """What both had is one's now."""


class Batch(Wire, frozen=True):
    """Changes of sessions, in their order; the next one follows once its Ack has come."""

    number: int
    items: list[Item]


class Ack(Wire, frozen=True):
    """Everything of a batch is on the disk."""

    number: int


class Take(OfSession, frozen=True):
    """The client of a session has come here."""


class Mine(OfSession, frozen=True):
    """The session is here now."""


class Streams(Wire, frozen=True):
    """The streams that are to be mirrored, each as the API tells its configuration."""

    configs: list[bytes]


Packet = Hello | Welcome | Introduction | Moved | Sessions | Settled | Batch | Ack | Take | Mine | Streams

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Packet)


def decode(data: bytes) -> Packet:
    """Raises ValueError."""
    packet: Packet = _decoder.decode(data)
    return packet
