"""Session makers: what makes the session of a peer, by the protocol of the listener that it came to.

A protocol is imported where a listener asks for it.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from gateway.accounts.admission import Admission
from gateway.settings.schema import Listener
from gateway.transport.connection import Connection, Session

if TYPE_CHECKING:
    from gateway.mqtt.directory import SessionDirectory

SessionMaker = Callable[[Connection, Listener], Session]


def session_makers(
    protocols: Collection[str], admission: Admission, directory: "SessionDirectory | None"
) -> dict[str, SessionMaker]:
    """The makers for listeners of these protocols; `directory` is None where there is no MQTT."""
    inner: dict[str, Callable[[Connection], Session]] = {}
    makers: dict[str, SessionMaker] = {}
    # A WebSocket carries any of the others.
    web = "websocket" in protocols
    if web or "nats" in protocols:
        from gateway.nats.client import NatsClientSession

        inner["nats"] = lambda connection: NatsClientSession(connection, admission)
        makers["nats"] = lambda connection, _: NatsClientSession(connection, admission)
    if directory is not None and (web or "mqtt" in protocols):
        from gateway.mqtt.client import MqttClient

        inner["mqtt"] = lambda connection: MqttClient(connection, admission, directory)
        makers["mqtt"] = lambda connection, _: MqttClient(connection, admission, directory)
    if web:
        from gateway.websocket.session import WebSocketSession

        makers["websocket"] = lambda connection, listener: WebSocketSession(connection, listener, inner)
    return makers
