"""PacketError: how the parsers of this package tell their decoder that a packet is bad. It never leaves the decoder."""

from protocols.close_reason import CloseReason
from protocols.errors import ProtocolError
from protocols.mqtt.reason_codes import ReasonCode

_CLOSE_REASONS = {
    ReasonCode.MALFORMED_PACKET: CloseReason.PARSE_ERROR,
    ReasonCode.PACKET_TOO_LARGE: CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: CloseReason.BAD_CLIENT_PROTOCOL_VERSION,
}


class PacketError(ProtocolError):
    """`code` is what MQTT 5.0 calls it; `farewell` the CONNACK to send while there is no connection yet."""

    def __init__(self, code: ReasonCode, detail: str, farewell: bytes = b"") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.farewell = farewell

    @property
    def close_reason(self) -> CloseReason:
        return _CLOSE_REASONS.get(self.code, CloseReason.PROTOCOL_VIOLATION)
