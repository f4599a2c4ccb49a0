"""`leafgate status`: one screen about a gateway, with what is wrong and what to do about it."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gateway.command.message_text import escape
from gateway.command.monitoring_client import Document, MonitoringClient

# Of connections that are asked for at once, and how often: counting more would cost the gateway more than it is worth.
PAGE = 1024
MOST_PAGES = 10
PROTOCOLS = {"nats": "NATS", "mqtt": "MQTT", "websocket": "NATS in WebSocket", "mqtt_ws": "MQTT in WebSocket"}
INTEGRATION_COUNTS = {"sent_msgs": "sent", "received_msgs": "received", "waiting_msgs": "wait"}
UNITS = ("B", "kB", "MB", "GB", "TB")
RATES = ("in_msgs", "in_bytes", "out_msgs", "out_bytes")


def run(options: argparse.Namespace) -> int:
    """Print it; returns 1 where the gateway is not available to clients. Raises GatewayError."""
    client = MonitoringClient(options)
    health = client.get("/healthz")
    before, begun = client.get("/varz"), time.monotonic()
    clients = count_clients(client)
    time.sleep(max(options.seconds - (time.monotonic() - begun), 0))
    varz = client.get("/varz")
    seconds = time.monotonic() - begun
    rates = {key: (varz.get(key, 0) - before.get(key, 0)) / seconds for key in RATES}
    if options.json:
        told = {"url": str(client.url), "health": health, "clients": clients, "rates": rates, "varz": varz}
        print(json.dumps(told, ensure_ascii=False))
    else:
        for line in screen(str(client.url), health, clients, rates, varz):
            print(escape(line))
    return _status_of(health)


def tell_health(options: argparse.Namespace) -> int:
    """Print what /healthz says, and nothing else is asked; the status is as `run`'s."""
    health = MonitoringClient(options).get("/healthz" if options.ready else "/healthz?js-enabled-only=1")
    if options.json:
        print(json.dumps(health, ensure_ascii=False))
    else:
        for line in _health(health):
            print(escape(line.removeprefix("health").strip()))
    return _status_of(health)


def _status_of(health: Document) -> int:
    return 0 if health.get("status") in ("ok", "degraded") else 1


def count_clients(client: MonitoringClient) -> dict[str, int]:
    """Open connections by what they speak."""
    counts: Counter[str] = Counter()
    for page in range(MOST_PAGES):
        told = client.get(f"/connz?limit={PAGE}&offset={page * PAGE}")
        shown = told.get("connections") or []
        counts.update(str(one.get("type", "other")) for one in shown)
        total = told.get("total", 0)
        if len(shown) < PAGE:
            return dict(counts)
    counts["not counted"] = max(total - sum(counts.values()), 0)
    return dict(counts)


def screen(
    url: str, health: Document, clients: dict[str, int], rates: dict[str, float], varz: Document
) -> Iterator[str]:
    """The lines of it."""
    name, version = varz.get("server_name", ""), varz.get("leafgate_version", "")
    yield f"{name}  leafgate {version} at {url}, up {varz.get('uptime', '?')}"
    yield from _health(health)
    for link in varz.get("uplinks") or []:
        yield _line("uplink", _link(link))
    for buffer in varz.get("store_and_forward") or []:
        yield _line("backlog", _backlog(buffer))
    for bridge in varz.get("bridges") or []:
        yield _line("bridge", _link(bridge))
    for integration in varz.get("integrations") or []:
        yield _line(str(integration.get("kind", "")), _integration(integration))
    counted = [f"{number} {PROTOCOLS.get(kind, kind)}" for kind, number in sorted(clients.items()) if number]
    leafnodes = varz.get("leafnodes", 0)
    counted += [f"{leafnodes} leafnode links"] if leafnodes else []
    yield _line("clients", f"{', '.join(counted) or 'none'} (at most {varz.get('max_connections', '?')})")
    yield _line("in", f"{rates['in_msgs']:,.0f} messages/s, {size_text(rates['in_bytes'])}/s")
    yield _line("out", f"{rates['out_msgs']:,.0f} messages/s, {size_text(rates['out_bytes'])}/s")
    mqtt = varz.get("mqtt") or {}
    if mqtt.get("sessions") or mqtt.get("retained_messages"):
        text = f"{mqtt.get('sessions', 0)} sessions, {mqtt.get('clients', 0)} of them connected; "
        text += f"{mqtt.get('retained_messages', 0)} retained messages, {size_text(mqtt.get('retained_bytes', 0))}"
        yield _line("MQTT", text)
    dropped = {"slow consumers": varz.get("slow_consumers", 0), "MQTT messages dropped": mqtt.get("dropped", 0)}
    yield _line("since start", ", ".join(f"{number} {what}" for what, number in dropped.items()))
    storage = varz.get("storage") or {}
    if storage:
        text = storage.get("fault") or f"ok, {size_text(storage.get('pending_bytes', 0))} not on the disk yet"
        yield _line("storage", text)
    kept = (varz.get("memory") or {}).get("used", 0)
    cpu = f"{varz.get('cpu', 0):.0f} % of a core"
    yield _line("machine", f"{size_text(varz.get('mem', 0))} of memory, {size_text(kept)} kept for clients; {cpu}")


def _health(health: Document) -> Iterator[str]:
    yield _line("health", str(health.get("status", "?")))
    for part, told in health.items():
        if part in ("status", "hint"):
            continue
        if isinstance(told, dict):
            for name, text in told.items():
                yield _line("", f"{part} {name}: {text}")
        else:
            yield _line("", f"{'' if part == 'error' else f'{part}: '}{told}")
    if health.get("hint"):
        yield _line("", f"do: {health['hint']}")


def _link(link: dict[str, Any]) -> str:
    """A link's line: an uplink's or a bridge's."""
    state = link.get("state") or ("up" if link.get("up") else "down")
    parts = [f"{link.get('name', '')} {state}", f"since {str(link.get('since', '')).partition('.')[0]}"]
    parts.append(f"to {link.get('hub') or link.get('url', '')}")
    if link.get("queued_msgs"):
        parts.append(f"{link['queued_msgs']:,} messages wait, {size_text(link.get('queued_bytes', 0))}")
    if state != "up" and link.get("last_error"):
        parts.append(str(link["last_error"]))
    return ", ".join(parts)


def _integration(one: dict[str, Any]) -> str:
    """The line of a link to another system."""
    is_up = one.get("up")
    since = str(one.get("since", "")).partition(".")[0]
    parts = [f"{one.get('name', '')} {'up' if is_up else 'down'}", f"since {since}"]
    parts += [f"{one[key]:,} {text}" for key, text in INTEGRATION_COUNTS.items() if one.get(key)]
    dropped = sum((one.get("dropped_msgs") or {}).values())
    parts += [f"{dropped:,} dropped"] if dropped else []
    parts += [str(one["last_error"])] if not is_up and one.get("last_error") else []
    return ", ".join(parts)


def _backlog(buffer: dict[str, Any]) -> str:
    """A line about what is stored for a hub."""
    messages, oldest = buffer.get("messages", 0), buffer.get("oldest_seconds", 0)
    parts = [f"{buffer.get('name', '')} {buffer.get('state', '')}, for uplink {buffer.get('uplink', '')}"]
    parts.append(f"{messages:,} messages wait, {size_text(buffer.get('bytes', 0))}")
    if messages:
        parts.append(f"the oldest for {oldest:,.0f} s")
    dropped = sum((buffer.get("dropped") or {}).values())
    if dropped:
        parts.append(f"{dropped:,} dropped")
    if buffer.get("last_error"):
        parts.append(str(buffer["last_error"]))
    return ", ".join(parts)


def _line(label: str, text: str) -> str:
    return f"{label:<12}{text}"


def size_text(number: float) -> str:
    """`number` of bytes, in thousands."""
    unit = 0
    while number >= 1000 and unit < len(UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.0f} {UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {UNITS[unit]}"
