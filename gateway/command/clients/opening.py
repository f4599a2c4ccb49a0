"""Opening a link: which protocol is spoken, inside what."""

import os
from collections.abc import Sequence

from gateway.command.clients.link import Interest, Link, Target
from gateway.command.clients.wire import Stream, Wire, dial

TLS_FROM_THE_START = ("mqtts", "wss")
WEBSOCKETS = ("ws", "wss")
INBOX_BYTES = 11


def new_inbox(target: Target) -> bytes:
    """A name that nobody else uses, for answers."""
    return b"_INBOX%b%b" % (b"/" if target.speaks_mqtt else b".", os.urandom(INBOX_BYTES).hex().encode())


def open_link(target: Target, interests: Sequence[Interest] = ()) -> Link:
    """A link to a server that has let us in, with `interests` subscribed to. Raises ClientError."""
    wire = dial(target.url)
    try:
        return _open(wire, target, interests)
    except BaseException:
        wire.close()
        raise


def _open(wire: Wire, target: Target, interests: Sequence[Interest]) -> Link:
    url = target.url
    if url.scheme in TLS_FROM_THE_START:
        wire.start_tls(target.tls)
    stream: Stream = wire
    if url.scheme in WEBSOCKETS:
        from gateway.command.clients.websocket_wire import WebSocketWire

        stream = WebSocketWire(wire, url, b"mqtt" if target.speaks_mqtt else b"")
    if target.speaks_mqtt:
        from gateway.command.clients.mqtt_link import MqttLink

        return MqttLink(stream, target, interests)
    from gateway.command.clients.nats_link import NatsLink

    link = NatsLink(stream, target)
    if interests:
        link.subscribe(interests)
    return link
