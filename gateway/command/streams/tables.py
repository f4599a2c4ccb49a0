"""What is told of streams, in columns for people."""

from collections.abc import Iterable, Sequence

from gateway.command.message_text import escape
from gateway.command.status import size_text
from gateway.command.streams.api import Document

NANOSECONDS = 1_000_000_000
SPANS = (("d", 86_400), ("h", 3600), ("m", 60))
# Fields of a configuration that say something else than how much there may be.
FACTS = ("description", "storage", "retention", "discard", "num_replicas", "compression", "sealed", "allow_direct")
LIMITS = ("max_msgs", "max_msgs_per_subject", "max_consumers")
SIZES = ("max_bytes", "max_msg_size")
SPAN_LIMITS = ("max_age", "duplicate_window", "subject_delete_marker_ttl")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns under their names; numbers stand at the right."""
    cells = [[escape(shown(cell)) for cell in row] for row in rows]
    kinds = (
        [all(isinstance(cell, int | float) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    )
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = []
    for row in [list(head), *cells]:
        columns = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, kinds or [False] * len(head), strict=True)
        )
        lines.append("  ".join(columns).rstrip())
    return lines


def shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def described(info: Document) -> list[str]:
    """The lines of `info`."""
    config, state = info["config"], info["state"]
    pairs: list[tuple[str, object]] = [("stream", config["name"])]
    pairs += [("created", info.get("created", ""))]
    pairs += [("subjects", " ".join(config.get("subjects") or ()))]
    pairs += [(name, config[name]) for name in FACTS if config.get(name)]
    pairs += [(name, config[name]) for name in LIMITS if config.get(name, -1) > 0]
    pairs += [(name, size_text(config[name])) for name in SIZES if config.get(name, -1) > 0]
    pairs += [(name, span(config[name])) for name in SPAN_LIMITS if config.get(name, 0) > 0]
    pairs += [(f"{kind} of", _origin(config[kind])) for kind in ("mirror", "sources") if config.get(kind)]
    pairs += [("messages", state["messages"]), ("bytes", size_text(state["bytes"]))]
    pairs += [("first", f"{state['first_seq']:,} at {state.get('first_ts', '')}")]
    pairs += [("last", f"{state['last_seq']:,} at {state.get('last_ts', '')}")]
    pairs += [(name, state[name]) for name in ("num_subjects", "num_deleted") if state.get(name)]
    pairs += [("consumers", state.get("consumer_count", 0))]
    width = max(len(name) for name, _ in pairs) + 2
    return [escape(f"{name.replace('_', ' ').ljust(width)}{shown(value)}") for name, value in pairs]


def _origin(told: Document | list[Document]) -> str:
    return " ".join(str(one.get("name")) for one in (told if isinstance(told, list) else [told]))


def span(nanoseconds: int) -> str:
    """A length of time in its largest whole unit."""
    seconds = nanoseconds / NANOSECONDS
    for unit, length in SPANS:
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
