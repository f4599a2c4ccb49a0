"""What a CONNECT asks for, and what it gets: refusals, the life of the session, and the properties of the CONNACK."""

from gateway.accounts.identity import Identity
from gateway.mqtt.directory import SessionDirectory
from gateway.mqtt.messages import message_of
from gateway.mqtt.publishing import publish_fault
from gateway.mqtt.sessions import MqttSessions, capped_expiry
from gateway.runtime.identity import new_token
from gateway.settings.mqtt import Mqtt
from gateway.storage.stored_session import NEVER_EXPIRES, StoredWill
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.topic_mapping import topic_to_subject

NO_PROPERTIES = Properties()
# Where clients that ask for a place of their own find one.
RESPONSE_PREFIX = b"_INBOX/"

# Of client ids that others may have, but not this user.
FOREIGN_ID = "the client id has not the prefix of this user's"
TAKEN_ID = "the client id is another user's"

Refusal = tuple[ReasonCode, CloseReason, str]


def refusal_of(
    connection: Connection,
    directory: SessionDirectory,
    sessions: MqttSessions,
    packet: packets.Connect,
    client_id: bytes,
    identity: Identity,
) -> Refusal | None:
    """Why a client may not connect, whoever it is, or under this client id, if so."""
    settings = connection.runtime.settings
    if not client_id.startswith(identity.client_id_prefix):
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, CloseReason.AUTHENTICATION_FAILURE, FOREIGN_ID
    if sessions.belongs_to_other(client_id, identity.user):
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, CloseReason.AUTHENTICATION_FAILURE, TAKEN_ID
    if not directory.admits():
        code = ReasonCode.CONNECTION_RATE_EXCEEDED
        return code, CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, "too many connections in this second"
    if not sessions.has_room(client_id):
        return ReasonCode.QUOTA_EXCEEDED, CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, "too many sessions"
    fault = sessions.fault
    # That a stored session ends cannot be promised either.
    if fault and (session_expiry(packet, settings.mqtt) or sessions.stores(client_id)):
        return ReasonCode.QUOTA_EXCEEDED, CloseReason.STORAGE_FAILURE, fault
    # Who has a session may always come and empty it.
    if session_expiry(packet, settings.mqtt) and not sessions.stores(client_id):
        obstacle = sessions.obstacle
        if obstacle is not None:
            return ReasonCode.QUOTA_EXCEEDED, CloseReason.STORAGE_FAILURE, obstacle
    if packet.will is not None:
        most = identity.limits.payload_bytes(settings.limits.max_payload_bytes)
        refusal = publish_fault(settings, packet.will.topic, len(packet.will.payload), most)
        if refusal is not None:
            code, detail = refusal
            reason = CloseReason.PROTOCOL_VIOLATION
            if code is ReasonCode.PACKET_TOO_LARGE:
                reason = CloseReason.MAXIMUM_PAYLOAD_EXCEEDED
            return code, reason, f"will: {detail}"
    will = will_of(packet.will, connection.runtime.names.gateway_id)
    if will is not None and not identity.permissions.may_publish(will.message.subject):
        return ReasonCode.NOT_AUTHORIZED, CloseReason.PROTOCOL_VIOLATION, "will: its topic may not be published to"
    size = will.message.size if will is not None else 0
    most = settings.mqtt.max_will_bytes
    if size > most:
        detail = f"will: payload and properties of {size} bytes are longer than {most}"
        return ReasonCode.PACKET_TOO_LARGE, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED, detail
    if not sessions.has_memory(client_id, will):
        return ReasonCode.QUOTA_EXCEEDED, CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, "no memory is left for it"
    return None


def will_of(will: packets.Will | None, mqtt_id: bytes) -> StoredWill | None:
    """The will of a CONNECT that is not refused."""
    subject = topic_to_subject(will.topic) if will is not None else None
    if will is None or subject is None:
        return None
    delay = (will.properties or NO_PROPERTIES).will_delay_interval or 0
    message = message_of(subject, will.payload, will.qos, will.retain, will.properties, mqtt_id)
    return StoredWill(message, will.retain, delay)


def session_expiry(packet: packets.Connect, config: Mqtt) -> int:
    """How long the session outlives the connection, in seconds."""
    if packet.version == MQTT_5_0:
        wanted = (packet.properties or NO_PROPERTIES).session_expiry_interval or 0
    else:
        wanted = 0 if packet.clean_start else NEVER_EXPIRES
    return capped_expiry(wanted, config)


def keep_alive_of(packet: packets.Connect, config: Mqtt) -> int:
    """The keep-alive that holds, in seconds; 0 for none."""
    most = config.max_keep_alive_seconds
    return min(packet.keep_alive or most, most) if most else packet.keep_alive


def connack_properties(packet: packets.Connect, client_id: bytes, expiry: int, config: Mqtt) -> Properties | None:
    """What a 5.0 client must know: where the gateway differs from what was asked for or may be assumed (3.2.2.3)."""
    if packet.version != MQTT_5_0:
        return None
    asked = packet.properties or NO_PROPERTIES
    ours = Properties()
    if expiry != (asked.session_expiry_interval or 0):
        ours.session_expiry_interval = expiry
    ours.receive_maximum = config.receive_maximum
    ours.maximum_packet_size = config.max_packet_bytes
    ours.topic_alias_maximum = config.max_topic_aliases
    if not packet.client_id:
        ours.assigned_client_identifier = client_id
    keep_alive = keep_alive_of(packet, config)
    if keep_alive != packet.keep_alive:
        ours.server_keep_alive = keep_alive
    if asked.request_response_information:
        ours.response_information = RESPONSE_PREFIX + new_token().encode()
    return ours
