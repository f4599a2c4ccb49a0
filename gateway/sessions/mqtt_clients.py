"""MQTT clients by client id: one connection each, and the newer wins."""

from typing import TYPE_CHECKING

from protocols.close_reason import CloseReason

if TYPE_CHECKING:
    from gateway.sessions.mqtt_client import MqttClientSession


class MqttClients:
    """The connected MQTT clients of a gateway."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, MqttClientSession] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def take_over(self, session: "MqttClientSession") -> None:
        """Enter a client; another connection with the same id is closed [MQTT-3.1.4-2]."""
        old = self._by_id.get(session.client_id)
        if old is not None:
            old.connection.close(CloseReason.DUPLICATE_CLIENT_ID, f"client id {session.client_id!r} connected again")
        self._by_id[session.client_id] = session

    def leave(self, session: "MqttClientSession") -> None:
        if self._by_id.get(session.client_id) is session:
            del self._by_id[session.client_id]
