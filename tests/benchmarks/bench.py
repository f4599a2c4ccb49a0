"""Side-by-side runs: the gateway, nats-server and mosquitto on one core, the load on another, one Markdown table.

    python tests/benchmarks/bench.py [--rows PATTERN] [--repeat N] [--seconds S] [--json FILE] [--quick] [--scaling]

Every measurement gets a freshly started server, and the servers of a row take turns (A B C A B C …), so that drift of
the machine falls on all alike. A measurement during which other programs took more than 5 % of a core is tried
again, up to twice. Exit status 1 when a measurement failed, 2 when a server that must be there is missing.
"""

import argparse
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cases import Case
from contention import Contention
from machine import LoadError, UnsupportedError, cores, machine_line, raise_descriptor_limit
from measures import Effort, Outcome, Site
from report import DISTURBED, Record, markdown, write_json
from rows import CASES
from scaling import SCALING_CASES
from servers import GATEWAY, MOSQUITTO, NATS_SERVER, RELAY, Wish, available, start, start_hub, version
from traffic import LEAD_BYTES

_ALL = (GATEWAY, NATS_SERVER, MOSQUITTO, RELAY)
_FULL = Effort(seconds=1.0, idle_connections=3000, idle_messages=10_000)
_QUICK = Effort(
    seconds=0.1,
    idle_connections=50,
    idle_messages=200,
    lead_bytes=256 * 1024,
    mqtt_connections=500,
    retained_topics=50_000,
    storm_sessions=200,
    mixed_messages=2000,
    sparse_connections=50,
    idle_seconds=0.5,
    stored_messages=20_000,
)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the gateway beside nats-server and mosquitto.")
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only rows whose key or title matches this regex")
    parser.add_argument("--scaling", action="store_true", help="the second table: how cost grows")
    parser.add_argument("--servers", default=",".join(_ALL[:3]), help="comma-separated; default: %(default)s")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs for each median (default: 5)")
    parser.add_argument("--seconds", type=float, default=_FULL.seconds, help="of each run (default: %(default)s)")
    parser.add_argument(
        "--lead-kib", type=int, default=LEAD_BYTES >> 10, help="lead of publishers in KiB (default: %(default)s)"
    )
    parser.add_argument(
        "--stored",
        type=int,
        default=_FULL.stored_messages,
        metavar="N",
        help="messages that wait, in rows of many stored ones (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value to FILE")
    parser.add_argument("--quick", action="store_true", help="once and short: shows that a row works, not its speed")
    parser.add_argument(
        "--at-most", type=int, metavar="N", help="no more connections, sessions, topics than this, whatever a row says"
    )
    # Servers run in directories of their own.
    parser.add_argument(
        "--python",
        type=os.path.abspath,
        default=sys.executable,
        help="interpreter whose installed gateway is measured",
    )
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    asked = parser.parse_args(words)
    unknown = set(asked.servers.split(",")) - set(_ALL)
    if unknown:
        parser.error(f"--servers: no such server: {', '.join(sorted(unknown))} (there are {', '.join(_ALL)})")
    return asked


def effort_of(asked: argparse.Namespace) -> Effort:
    effort = (
        _QUICK
        if asked.quick
        else replace(_FULL, seconds=asked.seconds, lead_bytes=asked.lead_kib * 1024, stored_messages=asked.stored)
    )
    if asked.at_most is None:
        return effort
    return replace(
        effort,
        idle_connections=min(effort.idle_connections, asked.at_most),
        idle_messages=min(effort.idle_messages, asked.at_most),
        mqtt_connections=min(effort.mqtt_connections, asked.at_most),
        retained_topics=min(effort.retained_topics, asked.at_most),
        offline_sessions=min(effort.offline_sessions, asked.at_most),
        storm_sessions=min(effort.storm_sessions, asked.at_most),
        sparse_connections=min(effort.sparse_connections, asked.at_most),
        stored_messages=min(effort.stored_messages, asked.at_most),
    )


def chosen(cases: Sequence[Case], pattern: str) -> list[Case]:
    wanted = re.compile(pattern, re.IGNORECASE)
    return [case for case in cases if any(wanted.search(row.key) or wanted.search(row.title) for row in case.rows)]


def present(names: Sequence[str], python: str) -> list[str]:
    """The installed ones of these servers; says which are missing, and ends the run when they are required."""
    missing = [name for name in names if not available(name, python)]
    for name in missing:
        print(f"{name} is not installed; its column stays empty", file=sys.stderr)
    if missing and os.environ.get("LEAFGATE_REQUIRE_PEERS") == "1":
        raise SystemExit(2)
    return [name for name in names if name not in missing]


@dataclass(frozen=True)
class Plan:
    """How each measurement is made: where, with which gateway, how often and how long."""

    server_core: int
    load_core: int
    python: str
    repeat: int
    tries: int
    effort: Effort


def measure(case: Case, name: str, plan: Plan) -> tuple[Outcome, float]:
    """The least disturbed of up to three tries, and how much of a core other programs took during it."""
    tries: list[tuple[Outcome, float]] = []
    while len(tries) < min(plan.tries, case.runs or plan.tries):
        tries.append(measure_once(case, name, plan))
        if tries[-1][1] <= DISTURBED:
            break
    return min(tries, key=lambda done: done[1])


def measure_once(case: Case, name: str, plan: Plan) -> tuple[Outcome, float]:
    """One measurement on a freshly started server; raises LoadError or OSError when it cannot be believed."""
    with contextlib.ExitStack() as running:
        hub = running.enter_context(start_hub(plan.load_core, case.keeping)) if case.hub else None
        link = hub.addresses["leafnode"] if hub else None
        wish = Wish(
            case.protocols,
            link,
            case.store,
            case.accounts,
            case.rights,
            plan.python,
            case.tls,
            case.keeping,
            case.synced,
            case.commit_interval,
            rules=case.rules,
        )
        server = running.enter_context(start(name, wish, plan.server_core))
        taking_part = [server, hub] if hub else [server]
        contention = Contention((plan.server_core, plan.load_core), taking_part)
        outcome = case.measure(Site(server, hub), plan.effort)
        server.check_alive()
        return outcome, contention.foreign_share()


def measure_case(case: Case, names: Sequence[str], record: Record, plan: Plan) -> None:
    runs = min(plan.repeat, case.runs or plan.repeat)
    for turn in range(runs):
        for name in names:
            if name not in case.servers or record.is_out(case.rows[0], name):
                continue
            try:
                outcome, foreign = measure(case, name, plan)
            except UnsupportedError as error:
                for row in case.rows:
                    record.excuse(row, name, str(error))
                print(f"{case.rows[0].key} {name}: {error}", file=sys.stderr, flush=True)
                continue
            except (LoadError, OSError) as error:
                for row in case.rows:
                    record.fail(row, name, f"{type(error).__name__}: {error}")
                print(f"{case.rows[0].key} {name}: {error}", file=sys.stderr, flush=True)
                continue
            record.remark(case.rows[0], name, outcome.remark)
            for row in case.rows:
                value = outcome.values[row.metric]
                record.add(row, name, value, outcome.busy, foreign)
                print(
                    f"{row.key} {turn + 1}/{runs} {name}: {value * row.scale:,.1f} {row.unit}"
                    + (f" (other programs: {foreign:.0%} of a core)" if foreign > DISTURBED else ""),
                    file=sys.stderr,
                    flush=True,
                )


def main() -> int:
    asked = arguments()
    table = SCALING_CASES if asked.scaling else CASES
    cases = chosen(table, asked.rows)
    if asked.list or not cases:
        print("\n".join(f"{row.key:28} {row.title}" for case in table for row in case.rows))
        return 0 if asked.list else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    names = list(dict.fromkeys([*present(asked.servers.split(","), asked.python), RELAY]))
    taking_part = [name for name in names if any(name in case.servers for case in cases)]
    versions = {name: version(name, asked.python) for name in taking_part}
    command = "python tests/benchmarks/bench.py " + shlex.join(sys.argv[1:])
    record = Record(machine_line(), command.strip(), versions, cut=asked.quick or asked.at_most is not None)
    # Asked before this process binds itself: afterwards it sees one core only.
    server_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    repeat, tries = (1, 1) if asked.quick else (asked.repeat, 3)
    plan = Plan(server_core, load_core, asked.python, repeat, tries, effort_of(asked))
    try:
        for case in cases:
            measure_case(case, names, record, plan)
    finally:
        print(markdown(record, cases))
        if asked.json:
            write_json(record, asked.json)
    return 1 if record.failures else 0


if __name__ == "__main__":
    sys.exit(main())
