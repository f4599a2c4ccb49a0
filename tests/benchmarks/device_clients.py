"""Clients for MicroPython side by side: flash, memory and what they can do, as a Markdown table.

python -m tests.benchmarks.device_clients

Flash is what mpy-cross -O2 makes; memory is what an import of that leaves on a 32-bit heap (WebAssembly port), with
everything that it imports of MicroPython's own there before. The port's table of names grows in steps of up to 1,120
bytes, so a smaller difference than that means nothing. The others come from PyPI; pip cannot build some of them, but
leaves what it unpacked.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.micropython.board_memory import BEFORE, live_bytes
from tests.micropython.unix_port import LIBRARY, find

ABILITIES = (
    "asyncio",
    "comes back by itself",
    "subscribes again",
    "server list",
    "request/reply",
    "TLS",
    "WebSocket",
    "serial",
    "login with a key",
)
OURS = frozenset(ABILITIES)
CORE = ("__init__", "client", "wire", "subscription")
# For modules that the port does not have; they do nothing.
STAND_INS = {
    "base64": "",
    "datetime": "datetime = timezone = None",
    "machine": "def unique_id():\n    return b''",
    "network": "STA_IF = 0\ndef WLAN(kind):\n    return None",
    "socket": "",
    "usocket": "",
    "ussl": "",
    "uasyncio": "from asyncio import *",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """`files`: where each goes on the board, by its place in the package; none: not to be had. `needs`: modules of
    MicroPython or its library, which count for nobody.
    """

    name: str
    protocol: str
    abilities: frozenset[str]
    package: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    load: str = ""
    needs: tuple[str, ...] = ()


def ours(name: str, load: str, *modules: str) -> Candidate:
    files = {f"leafgate/{module}.py": f"leafgate/{module}.py" for module in (*CORE, *modules)}
    return Candidate(name, "NATS", OURS, "", files, load)


CANDIDATES = (
    ours("**leafgate**, core", "import leafgate"),
    ours(
        "**leafgate** with requests and headers",
        "import leafgate, leafgate.answers, leafgate.headers",
        "answers",
        "headers",
    ),
    Candidate(
        "umqtt.simple 1.3.4",
        "MQTT 3.1.1",
        frozenset({"TLS"}),
        "micropython-umqtt-simple==1.3.4",
        {"umqtt/simple.py": "umqtt/simple.py"},
        "import umqtt.simple",
        ("usocket", "ustruct", "ubinascii"),
    ),
    Candidate(
        "umqtt.robust 1.0.2",
        "MQTT 3.1.1",
        frozenset({"TLS", "comes back by itself"}),
        "pycopy-umqtt-robust==1.0.2",
        {"umqtt/simple.py": "umqtt/simple.py", "umqtt/robust.py": "umqtt/robust.py"},
        "import umqtt.robust",
        ("usocket", "ustruct", "ubinascii", "utime"),
    ),
    Candidate(
        "mqtt_async 0.7b4 (from mqtt_as)",
        "MQTT 3.1.1",
        frozenset({"asyncio", "comes back by itself", "TLS"}),
        "micropython-mqtt-async==0.7b4",
        {"mqtt_async.py": "mqtt_async.py"},
        "import mqtt_async",
        ("binascii", "errno", "logging", "machine", "network", "socket", "struct", "uasyncio"),
    ),
    Candidate(
        "mqtt_as (in no package registry)", "MQTT 3.1.1, 5", frozenset({"asyncio", "comes back by itself", "TLS"})
    ),
    Candidate(
        "micro_nats 1.0.2 (core and JetStream)",
        "NATS",
        frozenset({"asyncio", "comes back by itself", "request/reply"}),
        "micro-nats==1.0.2",
        {"micro_nats": "micro_nats"},
        "from micro_nats.client import Client",
        ("base64", "datetime", "logging", "random"),
    ),
)


def fetch(package: str, directory: Path) -> Path:
    """Where pip unpacked a package, whether or not it could do more with it. LookupError: it is not to be had."""
    directory.mkdir()
    line = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-clean",
        "--no-deps",
        "--pre",
        "--quiet",
        "-d",
        directory,
        package,
    ]
    environment = os.environ | {"TMPDIR": str(directory)}
    subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for wheel in directory.glob("*.whl"):
        shutil.unpack_archive(wheel, directory / "wheel", "zip")
    if not any(directory.rglob("*.py")):
        raise LookupError(package)
    return directory


def place(candidate: Candidate, sources: Path, board: Path) -> int:
    """Compile a client to where the board has it; the bytes that it takes there."""
    size = 0
    for source, target in candidate.files.items():
        found = sources / source if (sources / source).exists() else next(sources.rglob(source))
        parts = [(found, Path(target))]
        if found.is_dir():
            parts = [(path, target / path.relative_to(found)) for path in sorted(found.rglob("*.py"))]
        for path, name in parts:
            compiled = (board / name).with_suffix(".mpy")
            compiled.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([find("mpy-cross"), "-O2", "-s", str(name), "-o", compiled, path], check=True)
            size += compiled.stat().st_size
    return size


def measure(candidate: Candidate, directory: Path) -> tuple[int, int]:
    """Bytes of flash and of memory."""
    sources = fetch(candidate.package, directory / "package") if candidate.package else LIBRARY
    board = directory / "board"
    size = place(candidate, sources, board)
    for name, text in STAND_INS.items():
        (board / f"{name}.py").write_text(text + "\n")
    before = "\n".join([BEFORE, *[f"import {name}" for name in candidate.needs]])
    return size, live_bytes(board, before, candidate.load)[-1]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    head = ["client", "protocol", "flash, B", "memory, B", *ABILITIES]
    print(row(head))
    print(row(["---", "---", "---:", "---:"] + [":---:"] * len(ABILITIES)))
    for candidate in CANDIDATES:
        with tempfile.TemporaryDirectory() as directory:
            try:
                if not candidate.files:
                    raise LookupError(candidate.name)
                figures = [f"{figure:,}" for figure in measure(candidate, Path(directory))]
            except LookupError:
                figures = ["not measured"] * 2
        abilities = ["yes" if ability in candidate.abilities else "-" for ability in ABILITIES]
        print(row([candidate.name, candidate.protocol, *figures, *abilities]), flush=True)


if __name__ == "__main__":
    main()
