"""`make reloads`: the configuration changes again and again, right and wrong, while clients exchange messages.

    python -m tests.torture.reloads [--reloads N] [--seed N]

Not one message of a client that no change concerns may be lost, none of its connections may end, and the gateway may
not grow. Prints counts; exit status 1 and the complaints when that was not so.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from gateway.reloading.asking import ask
from tests.integration.peers import Peer, free_port, running, wait_until
from tests.torture.unchanged_clients import UnchangedClients

# By then everything was there once that stays.
WARM_UP = 40
# What may be open for a moment: a link that is dialled, a peer that has just left.
MORE_DESCRIPTORS = 8
MORE_MEMORY = 12 << 20
USER, PASSWORD = "steady", "psecret-of-steady"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BAD_TABLES = (
    "[limits]\nmax-payload-bytes = 0",
    "[limits\n",
    "[authentication]\ntoken = { file = '/nowhere/token' }",
    '[[uplinks]]\nurls = ["nats-leaf://u:psecret@"]',
    "colour = 'red'",
)


@dataclass
class Outcome:
    reloads: int = 0
    refused: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    descriptors: tuple[int, int] = (0, 0)
    memory: tuple[int, int] = (0, 0)
    complaints: list[str] = field(default_factory=list)

    def report(self) -> str:
        return (
            f"reloads {self.reloads}, refused {self.refused}, messages {self.messages}, "
            f"descriptors {self.descriptors[0]} then {self.descriptors[1]}, "
            f"memory {self.memory[0] >> 10} KiB then {self.memory[1] >> 10} KiB, complaints {len(self.complaints)}"
        )


class Changes:
    """Random configurations. What the unchanged clients need is in each of them."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.ports = {"nats": free_port(), "mqtt": free_port()}
        self.spare = [free_port() for _ in range(3)]
        self.file = directory / "leafgate.toml"
        self.control = directory / "control.sock"

    def write(self, bad: str = "") -> None:
        """Another configuration; with `bad` one that must be refused, whatever else changes in it."""
        choose = self.random
        lines = ['name = "edge"', "watch = false", f'control-socket = "{self.control}"']
        for protocol, port in self.ports.items():
            # As another text the same address is another listener.
            lines += self._listener(protocol, port, choose.choice(("127.0.0.1", "localhost")))
        for port in choose.sample(self.spare, choose.randrange(3)):
            lines += self._listener(choose.choice(("nats", "mqtt", "websocket")), port, "127.0.0.1")
        lines += ["[monitoring]", f'address = "{choose.choice(("", "127.0.0.1:0"))}"']
        lines += ["[timeouts]", f"connect-seconds = {choose.randrange(5, 20)}"]
        lines += ["[mqtt]", f"max-inflight = {choose.randrange(50, 200)}"]
        lines += ["[logging]", f'format = "{choose.choice(("text", "json"))}"']
        for number in range(choose.randrange(3)):
            lines += ["[[uplinks]]", f'urls = ["nats-leaf://user:{choose.randrange(3)}@127.0.0.{number + 1}:1"]']
        lines += ["[[users]]", f'name = "{USER}"', f'password = "{PASSWORD}"']
        # A rule that does not concern what the unchanged clients say.
        if choose.random() < 0.5:
            lines += ["[users.permissions]", f'publish = {{ deny = ["secret.{choose.randrange(9)}.>"] }}']
        for name in choose.sample(("ann", "bob", "eve"), choose.randrange(4)):
            lines += ["[[users]]", f'name = "{name}"', f'password = "psecret-{choose.randrange(3)}"']
        if not bad.startswith("[limits"):
            lines += ["[limits]", f"max-payload-bytes = {choose.randrange(1000, 100_000)}"]
        lines = [bad, *lines] if bad.startswith("colour") else [*lines, bad]
        self.file.write_text("\n".join(lines) + "\n")

    def _listener(self, protocol: str, port: int, host: str) -> list[str]:
        return ["[[listeners]]", f'protocol = "{protocol}"', f'address = "{host}:{port}"']


def reload_often(directory: Path, count: int, seed: int, least: int = 0) -> Outcome:
    """So many reloads, every fifth of a file that is wrong, and at least so many messages to each client."""
    changes = Changes(directory, seed)
    changes.write()
    command = [sys.executable, "-m", "gateway", "run", "-c", str(changes.file)]
    server = Peer("gateway", directory, command, changes.ports)
    outcome = Outcome()
    server.start()
    with running(server):
        server.wait_ports()
        server.wait_for_log("event=started")
        clients = UnchangedClients(server.url(), server.address("mqtt"), USER, PASSWORD)
        with clients:
            for number in range(count):
                if number == min(WARM_UP, count // 2):
                    before = measure(server.pid)
                reload_once(changes, outcome, number, server)
            wait_until(lambda: min(one.came for one in clients.streams.values()) >= least, f"{least} messages to each")
            after = measure(server.pid)
        outcome.descriptors, outcome.memory = (before[0], after[0]), (before[1], after[1])
    outcome.messages = {name: stream.came for name, stream in clients.streams.items()}
    outcome.complaints += clients.complaints
    if after[0] > before[0] + MORE_DESCRIPTORS:
        outcome.complaints.append(f"{after[0] - before[0]} more descriptors")
    if after[1] > before[1] + MORE_MEMORY:
        outcome.complaints.append(f"{after[1] - before[1]} more bytes of memory")
    if "psecret" in server.log():
        outcome.complaints.append("the log tells a secret")
    return outcome


def reload_once(changes: Changes, outcome: Outcome, number: int, server: Peer) -> None:
    bad = BAD_TABLES[number // 5 % len(BAD_TABLES)] if number % 5 == 4 else ""
    changes.write(bad)
    if number % 50 == 7:
        server.send_signal(signal.SIGHUP)
    answer = ask(changes.control, "reload")
    outcome.reloads += 1
    outcome.refused += bool(answer.reason)
    if bool(bad) != bool(answer.reason):
        outcome.complaints.append(f"reload {number}: {bad!r} was answered {answer.reason!r}")


def measure(pid: int) -> tuple[int, int]:
    """Open descriptors, and resident memory in bytes."""
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return descriptors, pages * PAGE_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(description="Change the configuration again and again beside traffic.")
    parser.add_argument("--reloads", type=int, default=2000, help="default: %(default)d")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="default: any")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leafgate-reloads-") as directory:
        outcome = reload_often(Path(directory), asked.reloads, asked.seed)
    print(f"seed {asked.seed}: {outcome.report()}")
    print(*outcome.complaints[:20], sep="\n", file=sys.stderr)
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
