"""MQTT publishes as messages and messages as MQTT publishes: what a message of NATS has no field for is in headers."""

from collections.abc import Callable

from protocols.message import Message, make_message
from protocols.mqtt.gateways_passed import with_gateway
from protocols.mqtt.header_mapping import HeaderContents, headers_of, properties_of
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import encode_publish
from protocols.mqtt.published_topics import topic_of
from protocols.mqtt.reply_subjects import make_reply, parse_reply
from protocols.topic_mapping import topic_to_subject

# A reply subject goes into a control line beside a subject.
LONGEST_REPLY = 1024


def contents_of(message: Message) -> HeaderContents:
    """What the header of a message says, read once for all who get it: not to be changed."""
    contents = message.header_contents
    if not isinstance(contents, HeaderContents):
        contents = message.header_contents = properties_of(message.header())
    return contents


def expiry_of(message: Message, clock: Callable[[], float]) -> float:
    """When a message that is published now expires, in seconds of the clock; 0.0 for never."""
    seconds = contents_of(message).expiry if message.header_size else None
    return 0.0 if seconds is None else clock() + seconds


def message_of(
    subject: bytes, payload: bytes, qos: int, retain: bool, properties: Properties | None, mqtt_id: bytes
) -> Message:
    """The message that a PUBLISH or a will makes. `mqtt_id` is the gateway's name in reply subjects."""
    if properties is None and not retain:
        message = make_message(subject, payload)
        message.qos = qos
        return message
    reply = b""
    in_header = properties
    if properties is not None and properties.response_topic is not None:
        response = topic_to_subject(properties.response_topic) or b""
        with_correlation = make_reply(mqtt_id, response, properties.correlation_data, LONGEST_REPLY)
        reply = with_correlation or response
        if with_correlation is not None:
            in_header = properties.copy()
            in_header.correlation_data = None
    message = make_message(subject, payload, reply, headers_of(in_header, retain))
    message.qos = qos
    return message


def publish_packet(
    message: Message,
    topic: bytes,
    qos: int,
    packet_id: int,
    retain: bool,
    dup: bool,
    identifiers: tuple[int, ...],
    remaining: int | None,
    alias: int,
    mqtt_id: bytes,
    to_gateway: bool = False,
) -> bytes:
    """A PUBLISH of MQTT 5.0. `remaining` are the seconds until it expires, where that was counted down; `alias` 0 none.

    `mqtt_id` is the gateway's name in reply subjects; what goes `to_gateway`, over a bridge, says that it was here.
    """
    properties: Properties | None = None
    if message.header_size:
        properties = contents_of(message).properties
    if message.reply or identifiers or alias or remaining is not None or to_gateway:
        properties = properties.copy() if properties is not None else Properties()
        if message.reply:
            subject, correlation = parse_reply(message.reply, mqtt_id)
            properties.response_topic = topic_of(subject)
            if properties.response_topic is not None and correlation is not None:
                properties.correlation_data = correlation
        if identifiers:
            properties.subscription_identifiers = identifiers
        if alias:
            properties.topic_alias = alias
        if remaining is not None:
            # The clock may have gone back meanwhile: never more than was given [MQTT-3.3.2-6].
            given = properties.message_expiry_interval
            properties.message_expiry_interval = remaining if given is None else min(remaining, given)
        if to_gateway:
            properties.user_properties = with_gateway(properties.user_properties, mqtt_id)
    return encode_publish(MQTT_5_0, topic, message.payload(), qos, packet_id, retain, dup, properties)
