"""`make torture-sinks`: messages leave the gateway, and come to it, while both ends are killed or halted, the disk is
full, and connections are closed halfway.

    python -m tests.torture.sinks [--minutes N] [--seed N] [--kind KIND]

Of most kinds somebody publishes into a stream out of which a sink reads. At the end everything that was acknowledged is
at the other side: in a stream of a second gateway (fluent, so that both ends of the protocol are shown; rules, of which
there is one at either end), in Prometheus or InfluxDB. There each is once; events may come twice, but for that they are
in order. What holds of Modbus and of Home Assistant's discovery: tests.torture.registers, tests.torture.discovery.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors

from tests.integration.number_peers import influx_rows, influxdb, prometheus, ready, series
from tests.integration.peers import Peer, free_port, gateway
from tests.patience import LONG_SECONDS
from tests.torture.both_ends import STREAM, Far, Outcome, Publisher, harm_all, read_stream, restart, small_disk
from tests.torture.discovery import torture_discovery
from tests.torture.half_closing_proxy import HalfClosingProxy
from tests.torture.registers import torture_registers

COLLECTED = "IN"
DRAIN_SECONDS = LONG_SECONDS
KEYS = f'stream = "{STREAM}"\nbatch-max-seconds = 0.05\nretry-max-seconds = 0.2\nanswer-timeout-seconds = 1.5\n'
# A number goes through both rules and is itself again.
EDGE_RULE = '[[rules]]\nname = "there"\nfrom = "raw.*"\nto = "sensors.$1"\npayload = "payload * 2 + 1"\n'
FAR_RULE = '[[rules]]\nname = "back"\nfrom = "made.sensors.*"\nto = "far.$1"\npayload = "(payload - 1) // 2"\n'


class RulesPublisher(Publisher):
    """What a rule makes of a message is as durable as that: one acknowledgement is for both."""

    streams = (("RAW", "raw.>"), *Publisher.streams)
    subject = "raw"


@dataclass(frozen=True)
class Sink:
    """How the other side is begun, who publishes, whether each message is there once, and a rule of the gateway's."""

    begin: Callable[[contextlib.ExitStack, Path], tuple[Far, str]]
    publisher: type[Publisher] = Publisher
    once: bool = True
    rule: str = ""


def torture_sink(directory: Path, kind: str, seconds: float, seed: int) -> Outcome:
    sink, outcome = SINKS[kind], Outcome(once=SINKS[kind].once)
    with contextlib.ExitStack() as stack:
        far, keys = sink.begin(stack, directory / "far")
        proxy = stack.enter_context(HalfClosingProxy(far.port))
        config = f"[streams]\n{keys.format(port=proxy.port)}{KEYS}{sink.rule}"
        data = stack.enter_context(small_disk(directory / "data"))
        edge = stack.enter_context(gateway(directory / "edge", config=config, data_directory=data))
        publisher = sink.publisher(edge, outcome)
        publisher.start()
        try:
            harm_all(edge, data, far, proxy, random.Random(seed), seconds, outcome)
        finally:
            publisher.ended.set()
            publisher.join()
        give_up = time.monotonic() + DRAIN_SECONDS
        wanted = set(outcome.acknowledged)
        while not wanted <= set(outcome.found) and time.monotonic() < give_up:
            time.sleep(0.1)
            with contextlib.suppress(OSError, nats.errors.Error):
                outcome.found = far.read()
        if not wanted <= set(outcome.found):
            print(edge.log()[-6000:])
    return outcome


# The other sides.


def fluent_far(stack: contextlib.ExitStack, directory: Path, subject: str = "far", rule: str = "") -> tuple[Far, str]:
    port = free_port()
    listener = f'[[listeners]]\nprotocol = "fluent"\naddress = "127.0.0.1:{port}"\n'
    listener += f'fluent = {{ subject = "{subject}.{{{{tag}}}}", payload-field = "message" }}\n{rule}[streams]'
    hub = stack.enter_context(gateway(directory, config=listener, data_directory=directory / "data", name="hub"))
    asyncio.run(make_stream(hub))
    keys = '[[fluent]]\nname = "t"\nurls = ["tcp://127.0.0.1:{port}"]\n'
    return Far(hub, port, lambda: restart(hub), lambda: asyncio.run(read_stream(hub, COLLECTED, "far.>"))), keys


def rules_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    return fluent_far(stack, directory, "made", FAR_RULE)


async def make_stream(hub: Peer) -> None:
    client = await nats.connect(hub.url())
    await client.jetstream().add_stream(name=COLLECTED, subjects=["far.>"])
    await client.close()


def prometheus_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    database = stack.enter_context(prometheus(directory))

    def start() -> None:
        database.start()
        ready(database)

    def read() -> list[int]:
        samples = [one for _, found in series(database, '{__name__=~"s[0-4]"}[1d]') for one in found]
        return [int(value) for _, value in sorted(samples)]

    keys = '[[remote-write]]\nname = "t"\nurl = "http://127.0.0.1:{port}"\n'
    return Far(database, database.ports["http"], start, read), keys


def influx_far(stack: contextlib.ExitStack, directory: Path) -> tuple[Far, str]:
    database = stack.enter_context(influxdb(directory))

    def start() -> None:
        database.start()
        ready(database, "/ping")

    def read() -> list[int]:
        rows = influx_rows(database, "SELECT value FROM /s[0-4]/")
        return [int(row["value"]) for row in sorted(rows, key=lambda row: row["time"])]

    keys = '[[influx]]\nname = "t"\nurl = "http://127.0.0.1:{port}"\ndatabase = "site"\n'
    return Far(database, database.ports["http"], start, read), keys


SINKS = {
    "fluent": Sink(fluent_far, once=False),
    "rules": Sink(rules_far, RulesPublisher, once=False, rule=EDGE_RULE),
    "remote-write": Sink(prometheus_far),
    "influx": Sink(influx_far),
}
OTHERS = {"modbus": torture_registers, "home-assistant": torture_discovery}
KINDS = (*SINKS, *OTHERS)


def torture(directory: Path, kind: str, seconds: float, seed: int) -> Outcome:
    if kind in SINKS:
        return torture_sink(directory, kind, seconds, seed)
    return OTHERS[kind](directory, seconds, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].replace("\n", " "))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kind", choices=KINDS, action="append")
    arguments = parser.parse_args()
    kinds = arguments.kind or KINDS
    wrong = False
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="leafgate-sinks-") as directory:
            outcome = torture(Path(directory), kind, arguments.minutes * 60 / len(kinds), arguments.seed)
        complaints = outcome.complaints()
        print(f"{kind}: seed {arguments.seed}, {outcome}, {complaints or 'nothing lost'}", flush=True)
        wrong = wrong or bool(complaints)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
