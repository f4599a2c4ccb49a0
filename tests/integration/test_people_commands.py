"""The commands that people type, against the servers that people have: each protocol, restarts, and wrong ports."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.peers import Peer, free_port, gateway, mosquitto, nats_server, python_path, wait_until
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

PROTOCOLS = ("nats", "mqtt", "websocket")
MSGSPEC_ALONE = ("0 ['msgspec']\n", "0 ['inspect', 'msgspec']\n")


def environment(**variables: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LEAFGATE_")}
    return kept | {"PYTHONPATH": python_path()} | variables


def leafgate(*arguments: str, data: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment(**variables),
        input=data,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Follower:
    """A command that goes on, once it is subscribed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.told().startswith("subscribed to ")

    def told(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def output(self) -> list[str]:
        """What it has printed, once it has ended."""
        printed, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0
        return printed.splitlines()


@pytest.fixture
def follow() -> Iterator:
    followers: list[Follower] = []

    def start(*arguments: str) -> Follower:
        followers.append(Follower(*arguments))
        return followers[-1]

    yield start
    for one in followers:
        one.process.kill()
        one.process.communicate()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, protocols=PROTOCOLS, monitoring=True, data_directory=directory / "data") as peer:
        yield peer


def urls(peer: Peer) -> dict[str, str]:
    return {
        "nats": peer.url("nats"),
        "mqtt": peer.url("mqtt", "mqtt"),
        "ws": peer.url("websocket", "ws"),
        "mqtt in ws": f"{peer.url('websocket', 'ws')}/mqtt",
    }


def spelled(door: str, name: str) -> str:
    return name.replace(".", "/").replace(">", "#") if "mqtt" in door else name


@pytest.mark.parametrize("door", ["nats", "mqtt", "ws", "mqtt in ws"])
def test_message_from_every_door_is_told_at_every_door(edge: Peer, follow, door: str) -> None:
    doors = urls(edge)
    followers = {
        one: follow("sub", "--server", url, "--json", "--count", "2", spelled(one, "people.>"))
        for one, url in doors.items()
    }
    name = spelled(door, "people.temp")
    done = leafgate("pub", "--server", doors[door], "--lines", "--header", "Unit:C", name, data="20.5\n21")
    assert (done.returncode, done.stderr) == (0, "")
    for one, follower in followers.items():
        told = [json.loads(line) for line in follower.output()]
        assert [message["payload"] for message in told] == ["20.5", "21"]
        assert {message["subject"] for message in told} == {spelled(one, "people.temp")}
        assert all(["Unit", "C"] in message["headers"] for message in told)


@pytest.mark.parametrize("answering", ["nats", "mqtt in ws"])
@pytest.mark.parametrize("asking", ["ws", "mqtt"])
def test_request_at_one_door_is_answered_at_another(edge: Peer, follow, asking: str, answering: str) -> None:
    doors = urls(edge)
    follower = follow("reply", "--server", doors[answering], "--echo", "--count", "1", spelled(answering, "ask.me"))
    done = leafgate("request", "--server", doors[asking], spelled(asking, "ask.me"), "why?")
    assert (done.returncode, done.stdout, done.stderr) == (0, "why?\n", "")
    assert len(follower.output()) == 1


def test_request_takes_as_many_replies_as_asked_for_or_all_in_a_time(edge: Peer, follow) -> None:
    url = edge.url()
    for answer in ("one", "two"):
        follow("reply", "--server", url, "many", answer)
    done = leafgate("request", "--server", url, "--replies", "2", "--header", "K:v", "many")
    assert (done.returncode, sorted(done.stdout.split())) == (0, ["one", "two"])

    def all_come() -> bool:
        done = leafgate("request", "--server", url, "--wait", "1", "--json", "many")
        return sorted(json.loads(line)["payload"] for line in done.stdout.splitlines()) == ["one", "two"]

    def two_come() -> bool:
        done = leafgate("request", "--server", url, "--replies", "3", "--timeout", "0.5", "many")
        assert done.returncode == 1
        return "2 of 3 have come" in done.stderr

    wait_until(all_come, "all replies within a second")
    wait_until(two_come, "two replies within half a second")


def test_mosquitto_is_spoken_with_and_retains(tmp_path: Path, follow) -> None:
    with mosquitto(tmp_path) as broker:
        url = broker.url("mqtt", "mqtt")
        assert leafgate("pub", "--server", url, "--retain", "home/temp", "21").returncode == 0
        follower = follow("sub", "--server", url, "--count", "2", "home/+")
        assert leafgate("pub", "--server", url, "home/light", "on").returncode == 0
        assert follower.output() == ["home/temp (retained): 21", "home/light: on"]
        follower = follow("reply", "--server", url, "--echo", "--count", "1", "ask")
        assert leafgate("request", "--server", url, "ask", "x").stdout == "x\n"


def test_subscription_to_a_broker_that_restarts_comes_back(tmp_path: Path, follow) -> None:
    with mosquitto(tmp_path) as broker:
        url = broker.url("mqtt", "mqtt")
        follower = follow("sub", "--server", url, "--count", "1", "home")
        broker.kill()
        assert "trying again" in follower.told()
        broker.start()
        assert follower.told().startswith("subscribed again to home")
        assert leafgate("pub", "--server", url, "home", "back").returncode == 0
        assert follower.output() == ["home: back"]


def test_lines_are_published_as_they_come(edge: Peer, follow) -> None:
    follower = follow("sub", "--server", edge.url(), "--raw", "--count", "2", "lines")
    command = [sys.executable, "-m", "gateway", "pub", "--server", edge.url(), "--lines", "lines"]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("first\n")
        process.stdin.flush()
        readable, _, _ = select.select([follower.process.stdout], [], [], PATIENCE_SECONDS)
        assert readable
        process.stdin.write("second\n")
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
    assert follower.output() == ["first", "second"]


@pytest.mark.parametrize(
    ("scheme", "port", "told"),
    [
        ("nats", "mqtt", "that is an MQTT broker; use mqtt://"),
        ("nats", "websocket", "that is an HTTP server; for WebSocket use ws://"),
        ("nats", "monitoring", "that is an HTTP server"),
        ("mqtt", "nats", "that is a NATS server; use nats://"),
        ("mqtt", "websocket", "that is an HTTP server"),
        ("ws", "nats", "that is a NATS server; use nats://"),
        ("ws", "mqtt", "that is an MQTT broker; use mqtt://"),
        ("ws", "monitoring", "does not upgrade to WebSocket"),
    ],
)
def test_wrong_port_is_said_in_words(edge: Peer, scheme: str, port: str, told: str) -> None:
    done = leafgate("pub", "--server", edge.url(port, scheme), "a", "b")
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("scheme", "name"), [("nats", "a/b"), ("mqtt", "a.b")])
def test_name_of_the_other_protocol_gets_a_hint_and_is_sent(edge: Peer, scheme: str, name: str) -> None:
    done = leafgate("pub", "--server", edge.url(scheme, scheme), name, "x")
    assert done.returncode == 0
    assert done.stderr.startswith("leafgate: hint: ")


@pytest.mark.parametrize(("scheme", "name"), [("nats", "a b"), ("mqtt", "a/#")])
def test_what_is_no_name_is_refused_before_connecting(scheme: str, name: str) -> None:
    done = leafgate("pub", "--server", f"{scheme}://127.0.0.1:{free_port()}", name)
    assert done.returncode == 1
    assert "is not a " in done.stderr


@pytest.mark.parametrize("options", [[], ["--requests"]])
def test_bench_tells_rates(edge: Peer, options: list[str]) -> None:
    done = leafgate("bench", "--server", edge.url(), "--messages", "500", "--json", *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["requests" if options else "messages"] == 500
    assert options or told["lost"] == 0


def test_status_tells_of_clients_and_of_a_link_that_is_down(tmp_path: Path, follow) -> None:
    link = f'[[uplinks]]\nurls = ["nats://127.0.0.1:{free_port()}"]\n'
    with gateway(tmp_path, protocols=PROTOCOLS, monitoring=True, config=link) as peer:
        monitoring = peer.url("monitoring", "http")
        for door in ("nats", "mqtt"):
            follow("sub", "--server", urls(peer)[door], "a")
        wait_until(lambda: '"degraded"' in leafgate("status", "--monitoring", monitoring, "--json").stdout, "the link")
        done = leafgate("status", "--monitoring", monitoring, "--seconds", "0.1")
        assert done.returncode == 0
        assert "1 MQTT, 1 NATS" in done.stdout
        assert "health      degraded" in done.stdout
        assert "nobody listens there" in done.stdout
        told = json.loads(leafgate("status", "--monitoring", monitoring, "--json").stdout)
        assert told["clients"] == {"mqtt": 1, "nats": 1}
        looks = leafgate("top", "--monitoring", monitoring, "--count", "2", "--seconds", "0.1", "--json")
        assert [json.loads(line)["total"] for line in looks.stdout.splitlines()] == [2, 2]
        table = leafgate("top", "--monitoring", monitoring, "--count", "1").stdout
        assert "leafgate command line" in table


def test_status_tells_what_waits_for_a_hub(tmp_path: Path) -> None:
    link = f'[[uplinks]]\nurls = ["nats://127.0.0.1:{free_port()}"]\n[[store-and-forward]]\nsubjects = ["kept.>"]\n'
    with gateway(tmp_path, monitoring=True, data_directory=tmp_path / "data", config=link) as peer:
        lines = "".join(f"{number}\n" for number in range(3))
        assert leafgate("pub", "--server", peer.url(), "--lines", "kept.a", data=lines).returncode == 0
        monitoring = peer.url("monitoring", "http")
        told = ""

        def has_stored() -> bool:
            nonlocal told
            told = leafgate("status", "--monitoring", monitoring, "--seconds", "0.1").stdout
            return "3 messages wait" in told

        wait_until(has_stored, "the backlog")
        assert "waiting, for uplink 1" in told


def test_top_looks_on_when_the_gateway_comes_back(tmp_path: Path, follow) -> None:
    with gateway(tmp_path, monitoring=True, monitoring_port=free_port()) as peer:
        url = peer.url("monitoring", "http")
        follow("sub", "--server", peer.url(), "a")
        command = [sys.executable, "-m", "gateway", "top", "--monitoring", url, "--seconds", "0.05", "--json"]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["total"] == 1
            peer.kill()
            assert process.stderr.readline().endswith("; trying again\n")
            peer.start()
            # What it saw before comes first.
            while json.loads(process.stdout.readline())["total"]:
                pass
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, told) == (0, "")


def test_status_without_a_gateway_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = leafgate("status", "--monitoring", url)
    assert done.returncode == 1
    assert done.stderr == f"leafgate: cannot connect to {url}: connection refused; is monitoring on there?\n"


def test_health_is_one_word_where_all_is_well(edge: Peer) -> None:
    url = edge.url("monitoring", "http")
    for option in ((), ("--live",)):
        done = leafgate("health", "--monitoring", url, *option)
        assert (done.returncode, done.stdout) == (0, "ok\n")
    assert json.loads(leafgate("health", "--monitoring", url, "--json").stdout) == {"status": "ok"}


def test_health_tells_which_link_is_down_and_there_is_a_status_for_no_gateway(tmp_path: Path) -> None:
    link = f'[[uplinks]]\nurls = ["nats://127.0.0.1:{free_port()}"]\n'
    with gateway(tmp_path, monitoring=True, config=link) as peer:
        url = peer.url("monitoring", "http")
        wait_until(lambda: leafgate("health", "--monitoring", url).stdout.startswith("degraded\n"), "the word for it")
        done = leafgate("health", "--monitoring", url)
        assert done.returncode == 0
        assert done.stdout.splitlines()[1].startswith("uplink")
    assert leafgate("health", "--monitoring", url).returncode == 1


def test_status_at_the_door_of_another_protocol_is_told(edge: Peer) -> None:
    done = leafgate("status", "--monitoring", edge.url("nats", "http"))
    assert done.returncode == 1
    assert "is it the address of the monitoring?" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--seconds", "0.01"),
        ("health",),
        ("top", "--count", "1"),
        ("request", "$LEAFGATE.time"),
        ("sub", "full"),
        ("bench", "--messages", "10"),
    ],
    ids=" ".join,
)
def test_output_that_is_full_is_told_in_a_sentence(edge: Peer, words: tuple[str, ...]) -> None:
    is_watching = words[0] in ("status", "health", "top")
    where = ("--monitoring", edge.url("monitoring", "http")) if is_watching else ("--server", edge.url())
    command = [sys.executable, "-m", "gateway", *words, *where]
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(command, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        if words[0] == "sub":
            assert process.stderr.readline().startswith("subscribed to ")
            assert leafgate("pub", "--server", edge.url(), "full", "x").returncode == 0
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert told.splitlines()[-1] == "leafgate: standard output: no space left on device"
    assert "Traceback" not in told


def test_drain_ends_the_gateway_and_reload_tells_in_json(tmp_path: Path, follow) -> None:
    with gateway(tmp_path, data_directory=tmp_path / "data") as peer:
        file = str(tmp_path / "leafgate.toml")
        told = json.loads(leafgate("reload", "--json", LEAFGATE_CONFIG=file).stdout)
        assert told == {"file": file, "changes": []}
        follower = follow("sub", "--server", peer.url(), "a")
        done = leafgate("drain", "-c", file)
        assert (done.returncode, done.stdout) == (0, "the gateway has ended\n")
        assert peer.wait_exit() == 0
        assert "signal=SIGUSR2" in peer.log()
        follower.process.send_signal(signal.SIGINT)
        assert leafgate("drain", "-c", file).returncode == 1


def costly_modules_of(*words: str) -> str:
    """The status of a command, and what it has imported of that which costs more than the command itself."""
    script = (
        f"import sys; from gateway.command.command_line import main; status = main({words!r}); "
        "costly = {'trio', 'msgspec', 'ssl', 'dataclasses', 'inspect', 'cryptography', 'asyncio', 'logging', 'email', "
        "'encodings.idna', 'h11', 'shutil', 'hmac'}; print(status, sorted(costly & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    return done.stderr


def test_publishing_imports_nothing_that_is_costly(tmp_path: Path) -> None:
    with nats_server(tmp_path) as peer:
        assert costly_modules_of("pub", "--server", peer.url(), "a", "b") == "0 []\n"


def test_publishing_at_other_doors_imports_little_that_is_costly(edge: Peer) -> None:
    """MQTT's packets are structs of msgspec, which imports `inspect` where typing_extensions is installed."""
    doors = urls(edge)
    assert costly_modules_of("pub", "--server", doors["ws"], "a", "b") == "0 []\n"
    for door in ("mqtt", "mqtt in ws"):
        assert costly_modules_of("pub", "--server", doors[door], "a", "b") in MSGSPEC_ALONE


def test_checking_a_file_imports_little_that_is_costly(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f"data-directory = '{tmp_path / 'data'}'\n")
    assert costly_modules_of("check", "-c", str(file)) in MSGSPEC_ALONE


def test_looking_at_a_gateway_imports_nothing_that_is_costly(edge: Peer) -> None:
    assert costly_modules_of("status", "--monitoring", edge.url("monitoring", "http"), "--seconds", "0.01") == "0 []\n"
