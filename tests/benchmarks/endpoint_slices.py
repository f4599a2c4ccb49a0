"""How long monitoring holds the gateway's loop: the longest round of it, in processor time, while each path is asked.

    python tests/benchmarks/endpoint_slices.py [--connections N] [--subscriptions N]

Processor time of the loop's own thread, which other programs make no longer. `--serve` is the gateway's side.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from load_nats import NatsClient
from machine import raise_descriptor_limit
from server_process import free_port

PATHS = (
    "/varz",
    "/connz?limit=1024",
    "/connz?limit=10000&subs=detail&sort=msgs_to",
    "/connz?state=any&limit=10000&auth=1",
    "/subsz?subs=1&limit=10000",
    "/subsz?test=idle.7.3",
    "/leafz?subs=1",
    "/accountz?acc=$G",
    "/accstatz?unused=1",
    "/jsz?streams=1&consumers=1",
    "/routez",
    "/gatewayz",
    "/healthz",
    "/metrics",
    "/",
)
TIMES = 3
CONFIGURATION = """
[[listeners]]
protocol = "nats"
address = "127.0.0.1:{nats}"
[monitoring]
address = "127.0.0.1:{monitoring}"
"""


def serve(file: str) -> int:
    """Run a gateway that tells its longest round since the last question, in ms, for each line of standard input."""
    from gateway.command.command_line import main
    from gateway.transport.host_loop import HostLoop

    longest = 0
    a_round = HostLoop._round

    def measured(loop: HostLoop) -> None:
        nonlocal longest
        begun = time.thread_time_ns()
        a_round(loop)
        longest = max(longest, time.thread_time_ns() - begun)

    def tell() -> None:
        nonlocal longest
        for _ in sys.stdin:
            print(longest / 1e6, file=sys.stderr, flush=True)
            longest = 0

    HostLoop._round = measured  # type: ignore[method-assign]
    threading.Thread(target=tell, daemon=True).start()
    return main(["run", "-c", file])


def measure(connections: int, subscriptions: int) -> dict[str, tuple[float, int]]:
    """For each path the longest round in ms, and the size of the answer in bytes."""
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        ports = {"nats": free_port(), "monitoring": free_port()}
        file = Path(place) / "leafgate.toml"
        file.write_text(CONFIGURATION.format(**ports))
        command = [sys.executable, __file__, "--serve", str(file)]
        gateway = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        stack.callback(gateway.wait)
        stack.callback(gateway.terminate)
        while "event=started" not in gateway.stderr.readline():  # type: ignore[union-attr]
            pass
        threading.Thread(target=_read, args=(gateway, told := [])).start()
        for number in range(connections):
            client = NatsClient.over_tcp(("127.0.0.1", ports["nats"]))
            stack.callback(client.stream.close)
            for subject in range(subscriptions):
                client.subscribe(f"idle.{number}.{subject}")
        found = {}
        for path in PATHS:
            _ask(gateway, told)
            for _ in range(TIMES):
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['monitoring']}{path}") as answer:
                    size = len(answer.read())
            found[path] = (_ask(gateway, told), size)
        return found


def _read(gateway: "subprocess.Popen[str]", told: list[float]) -> None:
    """What the gateway tells; its log is left out."""
    assert gateway.stderr is not None
    for line in gateway.stderr:
        with contextlib.suppress(ValueError):
            told.append(float(line))


def _ask(gateway: "subprocess.Popen[str]", told: list[float]) -> float:
    assert gateway.stdin is not None
    gateway.stdin.write("\n")
    while not told:
        time.sleep(0.01)
    return told.pop()


def main() -> int:
    parser = argparse.ArgumentParser(description="How long monitoring holds the gateway's loop.")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--subscriptions", type=int, default=10, help="of each connection")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.serve)
    raise_descriptor_limit()
    found = measure(asked.connections, asked.subscriptions)
    if asked.json:
        print(json.dumps(found))
        return 0
    print(f"{asked.connections:,} connections with {asked.subscriptions} subscriptions each")
    print("\n".join(f"{path:48} {longest:6.2f} ms  {size:12,} B" for path, (longest, size) in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
