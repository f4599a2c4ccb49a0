"""What is granted of an MQTT SUBSCRIBE: a reason code for each of its topic filters."""

from gateway.mqtt.session import MqttSession
from protocols.mqtt import packets
from protocols.mqtt.reason_codes import ReasonCode

# A retain handling: send what is retained always, for a new subscription, never (3.8.3.1).
ALWAYS, WHEN_NEW = 0, 1


def grant(session: MqttSession, wanted: packets.Subscription, identifier: int) -> tuple[ReasonCode, bool]:
    """Subscribe; returns the reason code, and whether retained messages are to follow."""
    topic_filter = wanted.topic_filter
    limits = session.runtime.settings
    most = limits.limits.max_subscriptions
    if topic_filter.count(b"/") >= limits.mqtt.max_topic_levels:
        return ReasonCode.TOPIC_FILTER_INVALID, False
    if most and topic_filter not in session.subscriptions and len(session.subscriptions) >= most:
        return ReasonCode.QUOTA_EXCEEDED, False
    if not session.has_room_for(topic_filter):
        return ReasonCode.QUOTA_EXCEEDED, False
    if session.store is not None and session.account.durability.obstacle():
        return ReasonCode.QUOTA_EXCEEDED, False
    is_new = session.subscribe(wanted, identifier)
    if is_new is None:
        return ReasonCode.NOT_AUTHORIZED, False
    feed = wanted.retain_handling == ALWAYS or (wanted.retain_handling == WHEN_NEW and is_new)
    return ReasonCode(wanted.qos), feed
