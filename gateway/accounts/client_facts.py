"""Who a request comes from, as services of another account and samples of their latency are told."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from gateway.dataplane.port import Port
from protocols.message import Message, make_message

REQUEST_INFO = b"Nats-Request-Info"
TRACE = b"Nats-Trace-Dest:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """What a session says of its peer. `start` is in seconds since 1970, `rtt` in seconds, None where it is unknown."""

    kind: str
    type: str
    start: float = 0.0
    host: str = ""
    cid: int = 0
    user: str = ""
    name: str = ""
    lang: str = ""
    version: str = ""
    rtt: float | None = None
    client_id: str = ""


def facts_of(source: Port) -> ClientFacts | None:
    """None for what is no peer."""
    tell = getattr(source, "client_facts", None)
    return tell() if tell is not None else None


def client_info(facts: ClientFacts, account: str, server: str, detailed: bool) -> dict[str, object]:
    """The fields in nats-server's form; only account and round trip where its account does not share details."""
    rtt = int((facts.rtt or 0.0) * 1e9)
    if not detailed:
        return shown({"acc": account, "rtt": rtt})
    return shown(
        {
            "start": time_text(facts.start),
            "host": facts.host,
            "id": facts.cid,
            "acc": account,
            "user": facts.user,
            "name": facts.name,
            "lang": facts.lang,
            "ver": facts.version,
            "rtt": rtt,
            "server": server,
            "kind": facts.kind,
            "client_type": facts.type,
            "client_id": facts.client_id,
        }
    )


def shown(fields: dict[str, object]) -> dict[str, object]:
    """Without what is empty."""
    return {name: value for name, value in fields.items() if value}


def time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def told_from(header: bytes) -> bytes:
    """What a header block says of who asks; b"" for nothing."""
    for line in header.split(b"\r\n"):
        if line.startswith(REQUEST_INFO + b":"):
            return line[len(REQUEST_INFO) + 1 :].strip()
    return b""


def with_info(message: Message, subject: bytes, reply: bytes, info: dict[str, object] | None) -> Message:
    """The message on another subject with another reply; its header says who asks, and nobody else's word for it."""
    lines = [one for one in message.header().split(b"\r\n") if not one.startswith(REQUEST_INFO + b":")]
    while lines and not lines[-1]:
        lines.pop()
    # What becomes of it in the other account is not told to this one.
    kept = [one for one in lines if not one.startswith(TRACE)]
    is_traced, lines = len(kept) < len(lines), kept
    if info is not None:
        lines = lines or [b"NATS/1.0"]
        lines.append(b"%b: %b" % (REQUEST_INFO, msgspec.json.encode(info)))
    if is_traced:
        lines.append(TRACE + b" trace disabled")
    header = b"\r\n".join([*lines, b"", b""]) if lines else b""
    made = make_message(subject, message.payload(), reply, header)
    made.qos = message.qos
    return made
