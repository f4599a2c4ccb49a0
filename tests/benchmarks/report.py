"""From raw values to what is printed: medians, ratios, the Markdown table, the share of the relay, the JSON record."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case, Row
from servers import GATEWAY, MOSQUITTO, NATS_SERVER, RELAY

_COLUMNS = (GATEWAY, NATS_SERVER, MOSQUITTO)
# The row of the relay, and the row whose bytes it copies.
_RELAYED = (
    ("relay-mixed", "mixed-nats-1-1", "mixed NATS 1→1"),
    ("relay-16", "nats-1-1-16", "NATS 1→1, 16 B"),
    ("relay-128", "nats-1-1-128", "NATS 1→1, 128 B"),
    ("relay-4096", "nats-1-1-4096", "NATS 1→1, 4 KiB"),
)
# Below this share of its core a server was waiting for the load, and the row says little about it.
_BUSY_ENOUGH = 0.85
# Above this share of a core for other programs a measurement is disturbed.
DISTURBED = 0.05


@dataclass
class Record:
    """Everything measured in one run, in the order it was measured."""

    machine: str
    command: str
    versions: dict[str, str]
    cut: bool = False
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    busy: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    foreign: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    excuses: dict[tuple[str, str], str] = field(default_factory=dict)
    remarks: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: Row, server: str, value: float, busy: float | None, foreign: float) -> None:
        self.values.setdefault((row.key, server), []).append(value * row.scale)
        self.foreign.setdefault((row.key, server), []).append(foreign)
        if busy is not None:
            self.busy.setdefault((row.key, server), []).append(busy)

    def fail(self, row: Row, server: str, reason: str) -> None:
        self.failures[row.key, server] = reason

    def excuse(self, row: Row, server: str, reason: str) -> None:
        """The server says itself that it cannot do this."""
        self.excuses[row.key, server] = reason

    def remark(self, row: Row, server: str, text: str) -> None:
        """What a reader must know about a figure; the latest one stays."""
        if text:
            self.remarks[row.key, server] = text

    def is_out(self, row: Row, server: str) -> bool:
        return (row.key, server) in self.failures or (row.key, server) in self.excuses

    def median(self, key: str, server: str) -> float | None:
        """The median, or None when nothing was measured or one repetition failed."""
        if (key, server) in self.failures or (key, server) not in self.values:
            return None
        return statistics.median(self.values[key, server])


def figure(value: float | None) -> str:
    """Three significant digits are all that a shared machine gives."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(record: Record, cases: Sequence[Case]) -> str:
    """The table with the machine line above it and the notes below."""
    versions = "; ".join(f"{name}: {text}" for name, text in record.versions.items())
    heads = ["work", "unit", *_COLUMNS, *(f"{GATEWAY} / {peer}" for peer in _COLUMNS[1:])]
    lines = [
        f"Machine: {record.machine}",
        f"Servers: {versions}",
        f"Command: `{record.command}`",
        *(["Counts are cut by --quick or --at-most; the titles name the full ones."] if record.cut else []),
        "",
        "| " + " | ".join(heads) + " |",
        "|---|---|" + "---:|" * (len(heads) - 2),
    ]
    shown = [row for case in cases if RELAY not in case.servers for row in case.rows]
    lines += [_table_line(record, row) for row in shown]
    notes = _contention_notes(record) + _relay_notes(record) + _load_notes(record)
    notes += _remark_notes(record) + _failure_notes(record)
    return "\n".join([*lines, "", *notes]) if notes else "\n".join(lines)


def _table_line(record: Record, row: Row) -> str:
    cells = [row.title, row.unit]
    cells += [_cell(record, row, server) for server in _COLUMNS]
    for peer in _COLUMNS[1:]:
        ours, theirs = record.median(row.key, GATEWAY), record.median(row.key, peer)
        cells.append(f"{ours / theirs:.2f}" if ours is not None and theirs else "")
    return "| " + " | ".join(cells) + " |"


def _cell(record: Record, row: Row, server: str) -> str:
    if (row.key, server) in record.failures:
        return "failed"
    return "-" if (row.key, server) in record.excuses else figure(record.median(row.key, server))


def _relay_notes(record: Record) -> list[str]:
    notes = []
    for relayed, key, name in _RELAYED:
        limit = record.median(relayed, RELAY)
        if limit is None:
            continue
        shares = [
            f"{server} reaches {value / limit:.1%}"
            for server in _COLUMNS
            if (value := record.median(key, server)) is not None
        ]
        told = "; ".join([f"{figure(limit)} k msg/s", *shares])
        notes.append(f"- A relay that only copies the bytes of {name}: {told}.")
    return notes


def _load_notes(record: Record) -> list[str]:
    notes = []
    for (key, server), shares in record.busy.items():
        share = statistics.median(shares)
        if share < _BUSY_ENOUGH and server != RELAY:
            foreign = statistics.median(record.foreign[key, server])
            cause = "other programs slowed it" if foreign > DISTURBED else "the load or the far end was the limit"
            notes.append(f"- {key}: {server} used {share:.0%} of its core: {cause}.")
    return notes


def _contention_notes(record: Record) -> list[str]:
    notes = []
    for (key, server), shares in record.foreign.items():
        disturbed = [share for share in shares if share > DISTURBED]
        if disturbed:
            notes.append(
                f"- {key}: {server} was disturbed in {len(disturbed)} of {len(shares)} runs by other programs "
                f"(up to {max(disturbed):.0%} of a core); measure it again."
            )
    return notes


def _remark_notes(record: Record) -> list[str]:
    excused: dict[str, None] = {}
    for (key, server), reason in record.excuses.items():
        excused[f"- {key}: {server} {reason}."] = None
    return [*excused, *(f"- {key}: {server}: {text}." for (key, server), text in record.remarks.items())]


def _failure_notes(record: Record) -> list[str]:
    return [f"- {key}: {server} failed: {reason}" for (key, server), reason in record.failures.items()]


def write_json(record: Record, path: Path) -> None:
    """All single values, medians and failures, for a later comparison."""
    rows: dict[str, dict[str, object]] = {}
    for (key, server), values in record.values.items():
        entry: dict[str, object] = {"values": values, "median": statistics.median(values)}
        entry["foreign"] = record.foreign[key, server]
        if (key, server) in record.busy:
            entry["busy"] = statistics.median(record.busy[key, server])
        if (key, server) in record.remarks:
            entry["remark"] = record.remarks[key, server]
        rows.setdefault(key, {})[server] = entry
    for (key, server), reason in record.failures.items():
        rows.setdefault(key, {})[server] = {"failure": reason}
    for (key, server), reason in record.excuses.items():
        rows.setdefault(key, {})[server] = {"unsupported": reason}
    told = {
        "machine": record.machine,
        "command": record.command,
        "versions": record.versions,
        "rows": rows,
    }
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
