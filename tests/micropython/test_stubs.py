"""The type stubs say what the modules are, and mypy takes an application that uses them."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.peers import missing_peer
from tests.micropython.unix_port import LIBRARY
from tests.patience import LONG_SECONDS

MODULES = sorted(path.stem for path in (LIBRARY / "leafgate").glob("*.py"))
APPLICATION = """
import asyncio

import leafgate
from leafgate.jetstream import publish
from leafgate.kv import Bucket, Entry
from leafgate.wifi import Wifi
from leafgate.wire import Stream


class Memory:
    async def open(self) -> Stream:
        raise OSError


async def on_message(message: leafgate.Message) -> None:
    await message.respond(message.data, headers={"status": str(message.status), **message.headers})


async def on_change(message: leafgate.Message) -> None:
    client: leafgate.Client = await leafgate.connect("nats://gateway", ready=Wifi("shed").up)
    for peer in (client, message.client):
        await publish(peer, "stored", message.data, msg_id="1")
        bucket = Bucket(peer, "settings")
        entry: Entry | None = await bucket.get("a")
        async for entry in await bucket.watch():
            print(entry.key, entry.value)


async def main() -> None:
    client = await leafgate.connect(["nats://gateway", Memory()], wait=5, name="shed", ping=5, on_status=print)
    await client.subscribe("in", queue="workers", cb=on_message)
    async for message in await client.subscribe("more", pending=4):
        print(message.subject, message.reply, bytes(message.data))
    try:
        answer: leafgate.Message = await client.request("ask", "what", timeout=1)
        await client.publish("out", answer.data, headers={"a": "b"})
    except leafgate.NoResponders as error:
        print(error, client.idle_ms(), client.info["max_payload"], client.connected.is_set())
    await client.flush()
    await client.drain()


asyncio.run(main())
"""
Definition = ast.FunctionDef | ast.AsyncFunctionDef


def tree(name: str) -> ast.Module:
    return ast.parse((LIBRARY / "leafgate" / name).read_text())


def public(body: list[ast.stmt]) -> dict[str, ast.ClassDef | Definition]:
    """Functions and classes by name."""
    found = {node.name: node for node in body if isinstance(node, ast.ClassDef | Definition)}
    return {name: node for name, node in found.items() if not name.startswith("_") or name == "__init__"}


def shape(node: Definition) -> tuple[bool, list[str], int]:
    """Whether it is a coroutine, the names of its arguments, and how many have a default."""
    arguments = node.args
    names = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    return isinstance(node, ast.AsyncFunctionDef), names, len(arguments.defaults)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_stub_says_what_the_module_is(module: str):
    compare(public(tree(f"{module}.py").body), public(tree(f"{module}.pyi").body))


def compare(real: dict[str, ast.ClassDef | Definition], stub: dict[str, ast.ClassDef | Definition]) -> None:
    for name, node in real.items():
        assert name in stub
        other = stub[name]
        if isinstance(node, ast.ClassDef):
            assert isinstance(other, ast.ClassDef)
            compare(public(node.body), public(other.body))
        else:
            assert isinstance(other, Definition)
            if node.name != "connect":  # its options are those of Client, by name in the stub
                assert shape(node) == shape(other)


def test_connect_takes_the_options_of_the_client():
    stub = public(tree("client.pyi").body)
    client, connect = stub["Client"], stub["connect"]
    assert isinstance(client, ast.ClassDef)
    assert isinstance(connect, Definition)
    made = public(client.body)["__init__"]
    assert isinstance(made, Definition)
    options = [(argument.arg, ast.unparse(argument.annotation or argument)) for argument in made.args.args[2:]]
    assert [
        (argument.arg, ast.unparse(argument.annotation or argument)) for argument in connect.args.kwonlyargs
    ] == options
    defaults = [ast.unparse(value) for value in made.args.defaults]
    assert [ast.unparse(value) for value in connect.args.kw_defaults if value] == defaults


def test_package_exports_what_its_stub_says():
    assert imported("__init__.pyi") - imported("__init__.py") == {"NoResponders"}  # __getattr__ gives it out
    assert imported("__init__.py") <= imported("__init__.pyi") | {"gc"}


def imported(name: str) -> set[str]:
    nodes = [node for node in tree(name).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.name for node in nodes for alias in node.names}


def test_application_is_checked_without_complaint(tmp_path: Path):
    if importlib.util.find_spec("mypy") is None:
        missing_peer("mypy is not installed (leafgate[lint])")
    (tmp_path / "application.py").write_text(APPLICATION)
    line = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", "cache", "application.py"]
    environment = os.environ | {"MYPYPATH": str(LIBRARY)}
    told = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LONG_SECONDS, check=False
    )
    assert told.returncode == 0, told.stdout
