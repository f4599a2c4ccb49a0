"""Bridge ids: under which client id a bridge has its session, and how the log calls whose a session is."""

from gateway.runtime.logs import shown

# Behind the name of a bridge it makes a client id that no client can have: text in MQTT has no U+0000 [MQTT-1.5.4-2].
MARK = b"\0bridge"


def bridge_id(name: str) -> bytes:
    """The client id under which a bridge has its session here."""
    return name.encode() + MARK


def is_bridge(client_id: bytes) -> bool:
    return client_id.endswith(MARK)


def label_of(client_id: bytes) -> str:
    """Whose a session is, for the log."""
    if is_bridge(client_id):
        return f"bridge={client_id.removesuffix(MARK).decode(errors='replace')}"
    return f"client-id={shown(client_id)}"
