"""`leafgate top`: the busiest connections of a gateway, again and again."""

import argparse
import json
import shutil
import sys
import time

from gateway.command.message_text import escape, tell
from gateway.command.monitoring_client import Document, MonitoringClient
from gateway.command.status import RATES, size_text
from gateway.errors import ClientError

CLEAR = "\x1b[H\x1b[2J"
HEAD_LINES = 5
DEFAULT_LIMIT = 20
COLUMNS = (
    f"{'CID':>7} {'TYPE':<9} {'ACCOUNT':<12} {'NAME':<24} {'SUBS':>6} {'PENDING':>8} "
    f"{'MSGS IN/S':>10} {'OUT/S':>10} {'BYTES IN/S':>10} {'OUT/S':>10} {'IDLE':>8}"
)


def run(options: argparse.Namespace) -> int:
    """Look until interrupted, or as often as asked. Who looks on sees the gateway go and come back; otherwise, and
    where there is none at first, that raises GatewayError.
    """
    client = MonitoringClient(options)
    is_terminal = sys.stdout.isatty()
    before: dict[int, Document] = {}
    varz_before: Document = {}
    looks, last, is_away = 0, time.monotonic(), False
    try:
        while True:
            limit = options.limit or _screen_lines()
            try:
                connz = client.get(f"/connz?sort={options.sort}&limit={limit}&auth=1")
                varz = client.get("/varz")
            except ClientError as error:
                if not looks or options.count:
                    raise
                if not is_away:
                    tell(f"leafgate: {error}; trying again")
                is_away, before, varz_before = True, {}, {}
                time.sleep(options.seconds)
                continue
            is_away = False
            now = time.monotonic()
            seconds = now - last if looks else 0.0
            shown = [_with_rates(one, before, seconds) for one in connz.get("connections") or []]
            total = {key: _rate(varz, varz_before, key, seconds) for key in RATES}
            if options.json:
                told = {"now": varz.get("now"), "total": connz.get("total"), "rates": total, "connections": shown}
                print(json.dumps(told, ensure_ascii=False), flush=True)
            else:
                text = "\n".join(map(escape, _lines(varz, connz, total, shown)))
                print(f"{CLEAR}{text}" if is_terminal else f"{text}\n", flush=True)
            before = {one["cid"]: one for one in connz.get("connections") or []}
            varz_before, last, looks = varz, now, looks + 1
            if options.count and looks >= options.count:
                return 0
            time.sleep(options.seconds)
    except KeyboardInterrupt:
        return 0


def _screen_lines() -> int:
    """Connections that the terminal has room for."""
    if not sys.stdout.isatty():
        return DEFAULT_LIMIT
    return max(shutil.get_terminal_size().lines - HEAD_LINES - 1, 1)


def _rate(now: Document, before: Document, key: str, seconds: float) -> float:
    return (now.get(key, 0) - before.get(key, 0)) / seconds if seconds and before else 0.0


def _with_rates(one: Document, before: dict[int, Document], seconds: float) -> Document:
    """A connection, with what it did a second since the last look; 0 for one that was not shown then."""
    earlier = before.get(one["cid"], {})
    return one | {f"{key}_rate": round(_rate(one, earlier, key, seconds), 1) for key in RATES}


def _lines(varz: Document, connz: Document, total: dict[str, float], shown: list[Document]) -> list[str]:
    name, version = varz.get("server_name", ""), varz.get("leafgate_version", "")
    lines = [
        f"{name}  leafgate {version}, up {varz.get('uptime', '?')}; CPU {varz.get('cpu', 0):.1f} %, "
        f"memory {size_text(varz.get('mem', 0))}, slow consumers {varz.get('slow_consumers', 0)}",
        f"in  {total['in_msgs']:>10,.0f} messages/s {size_text(total['in_bytes']):>10}/s",
        f"out {total['out_msgs']:>10,.0f} messages/s {size_text(total['out_bytes']):>10}/s",
        f"{connz.get('total', 0)} connections",
        COLUMNS,
    ]
    for one in shown:
        label = str(one.get("name") or one.get("mqtt_client") or one.get("ip", ""))
        lines.append(
            f"{one['cid']:>7} {one.get('type', ''):<9.9} {one.get('account', ''):<12.12} {label:<24.24} "
            f"{one.get('subscriptions', 0):>6} {size_text(one.get('pending_bytes', 0)):>8} "
            f"{one['in_msgs_rate']:>10,.0f} {one['out_msgs_rate']:>10,.0f} {size_text(one['in_bytes_rate']):>10} "
            f"{size_text(one['out_bytes_rate']):>10} {one.get('idle', ''):>8}"
        )
    return lines
