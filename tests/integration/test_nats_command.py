"""The `nats` command against the gateway: what it asks the system account, and what it does as anybody."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.nats_command import NatsCommand
from tests.integration.peers import Peer, gateway

CONFIG = """
[[accounts]]
name = "plant"
[[users]]
name = "sys"
password = "sys"
account = "$SYS"
[[users]]
name = "app"
password = "app"
account = "plant"
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), config=CONFIG, protocols=("nats", "mqtt"), monitoring=True) as peer:
        yield peer


@pytest.fixture
def system(edge: Peer, tmp_path: Path) -> NatsCommand:
    return NatsCommand(edge, "sys", tmp_path)


@pytest.fixture
def app(edge: Peer, tmp_path: Path) -> NatsCommand:
    return NatsCommand(edge, "app", tmp_path)


@pytest.fixture
def listener(app: NatsCommand) -> Iterator["subprocess.Popen[str]"]:
    """A subscriber that is there."""
    process = app.start("subscribe", "sensors.>")
    assert process.stdout is not None
    said = process.stdout.readline()
    while "Subscribing" not in said:
        assert said
        said = process.stdout.readline()
    yield process
    end(process)


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_servers_are_listed(system: NatsCommand):
    said = system.run("server", "list", "1", "--json")
    (server,) = json.loads(said[said.index("[") :])
    assert server["server"]["name"] == "edge"
    assert server["statsz"]["connections"] >= 1
    assert "edge" in system.run("server", "ping", "1")
    assert "Server information for edge" in system.run("server", "info", "edge")


def test_server_that_is_meant_answers(system: NatsCommand):
    assert "edge" in system.run("server", "request", "variables", "--name", "edge")
    assert "edge" not in system.run("server", "request", "variables", "--name", "elsewhere", "--timeout", "500ms")


def test_connections_and_accounts_are_reported(system: NatsCommand, listener: "subprocess.Popen[str]"):
    said = system.run("server", "report", "connections", "--json")
    found = json.loads(said[said.index("[") :])
    assert {(one["account"], one["authorized_user"]) for one in found} == {("plant", "app"), ("$SYS", "sys")}
    said = system.run("server", "report", "connections", "--account", "plant", "--json")
    assert [one["account"] for one in json.loads(said[said.index("[") :])] == ["plant"]
    assert "plant" in system.run("server", "report", "accounts")
    assert "ok (200)" in system.run("server", "report", "health")


def test_everything_that_may_be_requested_is_answered(system: NatsCommand):
    for what in (
        "subscriptions",
        "variables",
        "connections",
        "routes",
        "gateways",
        "leafnodes",
        "accounts",
        "jetstream",
    ):
        said = system.run("server", "request", what)
        answer = json.loads(said.strip().splitlines()[-1])
        assert answer["server"]["name"] == "edge", what
        assert answer["data"]["server_id"] == answer["server"]["id"], what


def test_connection_is_kicked(system: NatsCommand, listener: "subprocess.Popen[str]", edge: Peer):
    said = system.run("server", "report", "connections", "--account", "plant", "--json")
    (client,) = json.loads(said[said.index("[") :])
    server = json.loads(system.run("server", "request", "variables").strip().splitlines()[-1])["server"]["id"]
    system.run("server", "request", "kick", str(client["cid"]), server)
    edge.wait_for_log("reason='Kicked'")


def test_account_tells_of_itself_alone(app: NatsCommand, listener: "subprocess.Popen[str]"):
    assert "plant" in app.run("account", "info")
    assert "$SYS" not in app.run("account", "report", "connections")
    assert "system privileges" in app.run("server", "request", "variables", status=1)
    said = app.run("account", "report", "statistics")
    assert "Server Statistics" in said


def test_top_shows_connections(system: NatsCommand, listener: "subprocess.Popen[str]", tmp_path: Path):
    output = tmp_path / "top.txt"
    system.run("top", "edge", "--output", str(output), "--subs")
    said = output.read_text()
    assert "Connections Polled: 2" in said
    assert "sensors.>" in said


def test_message_reaches_a_subscriber(app: NatsCommand, listener: "subprocess.Popen[str]"):
    assert "Published" in app.run("publish", "sensors.kitchen", "21.5", "-H", "Unit:C")
    assert listener.stdout is not None
    lines: list[str] = []
    while not lines or "21.5" not in lines[-1]:
        lines.append(listener.stdout.readline())
        assert lines[-1]
    assert any('Received on "sensors.kitchen"' in line for line in lines)
    assert any("Unit: C" in line for line in lines)


def test_request_is_answered(app: NatsCommand):
    service = app.start("reply", "svc.echo", "--echo")
    try:
        assert service.stdout is not None
        assert "Listening" in service.stdout.readline()
        assert "hello" in app.run("request", "svc.echo", "hello", "--raw")
    finally:
        end(service)


def test_bench_publishes_and_subscribes(app: NatsCommand):
    count = "2000"
    hearers = app.start("bench", "sub", "load.x", "--msgs", count, "--no-progress")
    try:
        assert "publisher stats" in app.run("bench", "pub", "load.y", "--msgs", count, "--size", "64", "--no-progress")
        # Messages that came before the subscriber was there do not count for it.
        while hearers.poll() is None:
            app.run("bench", "pub", "load.x", "--msgs", count, "--size", "64", "--no-progress")
        assert hearers.stdout is not None
        assert "subscriber stats" in hearers.stdout.read()
    finally:
        end(hearers)


def test_events_of_clients_are_told(system: NatsCommand, app: NatsCommand):
    hearer = system.start("subscribe", "$SYS.ACCOUNT.plant.>", "--raw", "--count", "4")
    try:
        app.run("publish", "a", "b")
        while hearer.poll() is None:  # Until it has heard enough: some came before it was there.
            app.run("publish", "a", "b")
        assert hearer.stdout is not None
        said = hearer.stdout.read()
    finally:
        end(hearer)
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    types = {one["type"].rpartition(".")[2] for one in told}
    assert {"client_connect", "client_disconnect"} <= types
    leaving = next(one for one in told if one["type"].endswith("client_disconnect"))
    assert (leaving["client"]["acc"], leaving["client"]["user"], leaving["reason"]) == ("plant", "app", "Client Closed")
    assert leaving["server"]["name"] == "edge"


def test_message_is_traced(app: NatsCommand, listener: "subprocess.Popen[str]"):
    assert "sensors.>" in app.run("trace", "sensors.kitchen")
