"""Nobody can hurt the others: each attack beside a quiet NATS pair and a quiet MQTT pair, whose round trips are told.

    python tests/fairness/fairness.py [--seconds 3] [--only REGEX] [--list]

The table goes to standard output: 50th and 99th percentile and the longest, in milliseconds, beside nats-server or
mosquitto under the same attack. The server has one core, the attack and the pairs the other, as in the benchmarks.
"""

import argparse
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from attacks import ATTACKS, Attack
from load_requests import Exchange, percentile
from load_storm import _Talk as Talk
from machine import LoadError, cores, machine_line, raise_descriptor_limit
from servers import GATEWAY, Wish, available, start

TARGET_P99 = 0.020
TARGET_LONGEST = 0.100
BEGIN_SECONDS = 90.0
PACE_SECONDS = 0.001
SLOWEST_SECONDS = 10.0
WISHES = {
    GATEWAY: frozenset(("nats", "mqtt", "websocket", "monitoring", "leafnode")),
    "nats-server": frozenset(("nats", "websocket", "monitoring", "leafnode")),
    "mosquitto": frozenset(("mqtt",)),
}

Latencies = dict[str, list[float]]


def run_attack(attack: Attack, addresses: dict[str, tuple[str, int]], told: Connection) -> None:
    """The other process. It gives way to the pairs: what they wait for is the server."""
    os.nice(10)
    attack.run(addresses, lambda: told.send("begun"))


def measure(attack: Attack, name: str, seconds: float, server_core: int) -> Latencies:
    """Round trips of each quiet pair that the server can have, meanwhile. Raises LoadError, OSError."""
    fork = multiprocessing.get_context("fork")
    with start(name, Wish(WISHES[name], streams=True), server_core) as server:
        pairs: dict[str, Callable[[], float]] = {}
        if "nats" in server.addresses:
            pairs["NATS"] = Exchange(server.addresses["nats"]).round_trip
        if "mqtt" in server.addresses:
            pairs["MQTT"] = Talk(server.addresses["mqtt"]).round_trip
        for round_trip in pairs.values():
            round_trip()
        ours, theirs = fork.Pipe()
        attacker = fork.Process(target=run_attack, args=(attack, server.addresses, theirs), daemon=True)
        attacker.start()
        try:
            if not ours.poll(BEGIN_SECONDS):
                raise LoadError("the attack did not begin")
            latencies: Latencies = {pair: [] for pair in pairs}
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for pair, round_trip in pairs.items():
                    latencies[pair].append(round_trip())
                    time.sleep(PACE_SECONDS)
            server.check_alive()
            return latencies
        finally:
            attacker.kill()
            attacker.join(10)


def told(latencies: list[float]) -> str:
    ordered = sorted(latencies)
    return " / ".join(
        f"{1000 * value:.1f}" for value in (percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1])
    )


def row(attack: Attack, ours: Latencies, theirs: Latencies) -> str:
    cells = [told(ours["NATS"]), told(ours["MQTT"])]
    remark = ""
    for latencies in ours.values():
        ordered = sorted(latencies)
        if percentile(ordered, 0.99) > TARGET_P99 or ordered[-1] > TARGET_LONGEST:
            remark = "over the target"
    for pair, latencies in theirs.items():
        cells.append(f"{attack.peer}: {told(latencies)}")
        if percentile(sorted(ours[pair]), 0.99) > max(2 * percentile(sorted(latencies), 0.99), PACE_SECONDS):
            remark = remark or "the peer is twice as good"
    return f"| {attack.title} | {' | '.join(cells if theirs else [*cells, '-'])} | {remark} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="round trips of quiet pairs beside attacks")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each attack is watched")
    parser.add_argument("--only", default="", metavar="REGEX", help="attacks whose title matches")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    attacks = [attack for attack in ATTACKS if re.search(asked.only, attack.title, re.IGNORECASE)]
    if asked.list or not attacks:
        print("\n".join(attack.title for attack in ATTACKS))
        return 0 if asked.list else 2
    raise_descriptor_limit()
    names = {attack.peer for attack in attacks if attack.peer and available(attack.peer)}
    server_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    print(machine_line())
    print("\nMilliseconds: p50 / p99 / longest.\n")
    print("| attack | NATS pair | MQTT pair | peer | |\n|---|---|---|---|---|", flush=True)
    failed = False
    for attack in attacks:
        try:
            ours = measure(attack, GATEWAY, asked.seconds, server_core)
            theirs = measure(attack, attack.peer, asked.seconds, server_core) if attack.peer in names else {}
            print(row(attack, ours, theirs), flush=True)
        except (LoadError, OSError, EOFError) as error:
            failed = True
            print(f"| {attack.title} | {type(error).__name__}: {error} | | | failed |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
