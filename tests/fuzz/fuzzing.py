"""Fuzzing of decoders, router and outboxes: scripts from consecutive seeds, until one shows a fault or time is over.

As a program (`python -P -m tests.fuzz.fuzzing`) it fuzzes whatever form is first on the path; `make fuzz` gives it one
with sanitizers. A fault is an exception, bytes that their receiver would not understand, or a difference between forms.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.version import form_name
from tests.forms import traffic
from tests.forms.both_forms import Form, installed_form, pure_form
from tests.forms.plain_events import plain
from tests.forms.switchboard import PENDING_LIMITS, Record, play, script

# The pure form is slower by far under sanitizers, and says the same nearly always.
COMPARED_EVERY = 8
LONGEST_SCRIPT = 60
MAX_PAYLOAD = 1 << 26
CONNECT_END = b"\r\n"
REPORT_SECONDS = 20.0


class FaultError(Exception):
    """What came of a seed is wrong."""


@dataclass
class Tally:
    scripts: int = 0
    compared: int = 0
    pieces: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    events: int = 0
    closed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.scripts:,} scripts ({self.compared:,} in both forms), {self.pieces:,} pieces, "
            f"{self.bytes_in / 1e6:,.0f} MB in, {self.bytes_out / 1e6:,.0f} MB out, "
            f"{self.events:,} events of lone decoders, {self.closed:,} connections closed"
        )


def fuzz(seed: int, tally: Tally) -> None:
    """Play what a seed makes; raises whatever is wrong."""
    source = random.Random(seed)
    for decoder, said in _streams(source):
        tally.events += len([plain(decoder.receive(piece)) for piece in said])
        tally.pieces += len(said)
    steps = script(source, source.randrange(1, LONGEST_SCRIPT), source.choice((0.0, 0.02, 0.2)))
    max_pending = source.choice(PENDING_LIMITS)
    record = play(installed_form(), steps, max_pending)
    check_what_peers_got(installed_form(), record)
    if seed % COMPARED_EVERY == 0 and form_name() != "pure":
        tally.compared += 1
        if play(pure_form(), steps, max_pending) != record:
            raise FaultError("the forms differ")
    tally.scripts += 1
    tally.pieces += len(steps)
    tally.bytes_in += sum(len(step.said) for step in steps)
    tally.bytes_out += sum(len(data) for sends in record.sends for data in sends)
    tally.closed += sum(standing["closed"] is not None for standing in record.standing)


def _streams(source: random.Random) -> Iterator[tuple[Any, list[bytes]]]:
    """Lone decoders and broken streams for them, also of protocols and versions that sessions do not speak."""
    form = installed_form()
    server, client = form["protocols.nats.server"], form["protocols.nats.client"]
    deflate = form["protocols.websocket.compression"].MessageDeflate(1 << 20, 15)
    for decoder, first, say in (
        (server.ServerDecoder(1 << 20, 4096), b'CONNECT {"headers":true}\r\n', traffic.nats_client),
        (server.ServerDecoder(1000, 64), b"", traffic.nats_client),
        (client.ClientDecoder(MAX_PAYLOAD), b"", traffic.hub),
        (form["protocols.leafnode.spoke"].SpokeDecoder(), b"", traffic.hub),
        (form["protocols.leafnode.hub"].HubDecoder(1 << 20, 4096), b"CONNECT {}\r\n", traffic.hub),
        (form["protocols.mqtt.decoder"].Decoder(1 << 20), traffic.mqtt_connect(5, b"c"), traffic.mqtt_client),
        (form["protocols.websocket.frames"].FrameDecoder(True, deflate), b"", traffic.websocket_client),
    ):
        stream = b"".join(say(source) for _ in range(source.randrange(1, 6)))
        yield decoder, traffic.cut(source, first + traffic.damaged(source, stream))


def check_what_peers_got(form: Form, record: Record) -> None:
    """Every byte that was sent must make sense to whom it was sent."""
    decoders = [
        *(form["protocols.nats.client"].ClientDecoder(MAX_PAYLOAD) for _ in range(3)),
        *(form["protocols.mqtt.decoder"].ClientDecoder(MAX_PAYLOAD, version) for version in (3, 4)),
        *(form["protocols.leafnode.spoke"].SpokeDecoder() for _ in range(4)),
    ]
    for number, (decoder, sends) in enumerate(zip(decoders, record.sends, strict=True)):
        stream = b"".join(sends)
        if stream.startswith(b"CONNECT "):  # Only a spoke says that; the rest is as a hub would say it.
            stream = stream.partition(CONNECT_END)[2]
        found = decoder.receive(stream)
        if found and type(found[-1]).__name__ == "PeerViolation":
            raise FaultError(f"peer {number} would not understand what it got: {found[-1]}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True, help="the first; the others follow it")
    parser.add_argument("--progress", type=Path, required=True, help="file that names the seed in hand")
    asked = parser.parse_args()
    tally, seed = Tally(), asked.seed
    begin = told = time.monotonic()
    print(f"fuzzing the {form_name()} form in {sys.modules['protocols.message'].__file__}", flush=True)
    with asked.progress.open("wb", buffering=0) as progress:
        while (now := time.monotonic()) - begin < asked.seconds:
            progress.seek(0)
            progress.write(b"%20d" % seed)
            fuzz(seed, tally)
            seed += 1
            if now - told > REPORT_SECONDS:
                told = now
                print(f"{now - begin:4.0f} s: {tally}", flush=True)
    print(f"no fault in {tally}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
