"""Session makers: what makes the session of a peer, by the protocol of the listener that it came to.

A protocol is imported where a listener asks for it.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from gateway.accounts.admission import Admission
from gateway.settings.listener import Listener
from gateway.transport.connection import Connection
from gateway.transport.session import Session

if TYPE_CHECKING:
    from gateway.mqtt.directory import SessionDirectory
    from gateway.nats.spoke_directory import SpokeDirectory
    from protocols.websocket.upgrade import Page

SessionMaker = Callable[[Connection, Listener], Session]


def session_makers(
    protocols: Collection[str],
    admission: Admission,
    directory: "SessionDirectory | None",
    spokes: "Callable[[], SpokeDirectory]",
    pages: "Callable[[], Mapping[str, Page]]",
) -> dict[str, SessionMaker]:
    """The makers for listeners of these protocols; `directory` is None where there is no MQTT. `spokes` finds where
    leafnodes are kept, or makes that: on a WebSocket nobody knows whether one ever comes. `pages` are what a listener
    for WebSockets gives to browsers.
    """

    def make_hub(connection: Connection) -> Session:
        from gateway.nats.leafnode_hub import HubSession

        return HubSession(connection, admission, spokes())

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
    if web or "leafnode" in protocols:
        inner["leafnode"] = make_hub
        makers["leafnode"] = lambda connection, _: make_hub(connection)
    if "fluent" in protocols:
        from gateway.fluent.session import FluentSession

        makers["fluent"] = lambda connection, listener: FluentSession(connection, admission, listener)
    if web:
        from gateway.websocket.session import WebSocketSession

        shown = pages()
        makers["websocket"] = lambda connection, listener: WebSocketSession(connection, listener, inner, shown)
    return makers
