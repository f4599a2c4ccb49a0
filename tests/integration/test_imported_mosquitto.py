"""`leafgate import mosquitto.conf`: clients keep their passwords and get the rights of the access list. One script runs
against mosquitto itself and against the gateway with what was imported.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.peers import Peer, free_port, require_peer, running
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

ACCESS = """
topic read public/#

user anna
topic readwrite sensors/#
topic deny sensors/secret
topic write log/anna

user bert
topic read sensors/+

pattern readwrite private/%u/+
"""
PASSWORDS = {"anna": "won der:land", "bert": "wört" + "x" * 80}
# Who publishes where with which password, who listens to what, and whether it arrives.
SCRIPT = [
    ("anna", "sensors/1", "anna", "sensors/1", True),
    ("anna", "sensors/1", "bert", "sensors/1", True),
    ("anna", "sensors/1", "bert", "sensors/+", True),
    ("bert", "sensors/1", "anna", "sensors/1", False),
    ("anna", "sensors/secret", "anna", "sensors/#", False),
    ("anna", "log/anna", "anna", "log/anna", False),
    ("anna", "private/anna/x", "anna", "private/anna/x", True),
    ("bert", "private/anna/x", "anna", "private/anna/x", False),
    ("anna", "public/x", "", "public/x", False),
    ("", "public/x", "", "public/x", False),
]


class Site:
    """A mosquitto's files, and a server that has them."""

    def __init__(self, server: Peer) -> None:
        self.server = server

    def command(self, program: str, user: str, *words: str, password: str | None = None) -> list[str]:
        host, port = self.server.address("mqtt")
        login = ["-u", user, "-P", PASSWORDS[user] if password is None else password] if user else []
        return [require_peer(program), "-h", host, "-p", str(port), *login, *words]

    def arrives(self, sender: str, topic: str, receiver: str, subscription: str, expected: bool) -> bool:
        """A retained message tells without a race; another one takes it away again."""
        seconds = f"{PATIENCE_SECONDS:g}" if expected else "1"
        words = ("-t", topic, "-q", "1", "-r")
        run(self.command("mosquitto_pub", sender, *words, "-m", "hello"))
        limits = ("-C", "1", "-W", seconds)
        heard = run(self.command("mosquitto_sub", receiver, "-t", subscription, *limits, "-F", "%t %p"))
        run(self.command("mosquitto_pub", sender, *words, "-n"))
        return f"{topic} hello" in heard.stdout


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One user's password is a hash of today's mosquitto, another's one of before 2.0."""
    directory = tmp_path_factory.mktemp("mosquitto")
    program = require_peer("mosquitto_passwd")
    passwords = directory / "passwords"
    passwords.touch(mode=0o600)
    for words in (["-b"], ["-H", "sha512", "-b"]):
        user = "anna" if len(words) == 1 else "bert"
        subprocess.run([program, *words, str(passwords), user, PASSWORDS[user]], check=True, capture_output=True)
    assert [line.partition(":")[2][:3] for line in passwords.read_text().splitlines()] == ["$7$", "$6$"]
    (directory / "access").write_text(ACCESS)
    (directory / "mosquitto.conf").write_text(
        f"listener {free_port()} 127.0.0.1\nallow_anonymous true\npassword_file passwords\nacl_file access\n"
    )
    return directory


@pytest.fixture(scope="module", params=["mosquitto", "gateway"])
def site(request: pytest.FixtureRequest, files: Path) -> Iterator[Site]:
    original = files / "mosquitto.conf"
    port = int(original.read_text().split()[1])
    if request.param == "mosquitto":
        theirs = files / "theirs.conf"
        absolute = original.read_text().replace("_file ", f"_file {files}/")
        theirs.write_text(f"{absolute}user root\n")
        peer = Peer("mosquitto", files, [require_peer("mosquitto"), "-c", str(theirs)], {"mqtt": port})
    else:
        ours = files / "leafgate.toml"
        ours.unlink(missing_ok=True)
        leafgate = [sys.executable, "-m", "gateway"]
        done = run([*leafgate, "import", str(original), "-o", str(ours)])
        assert done.returncode == 0, done.stderr
        assert ours.stat().st_mode & 0o077 == 0
        checked = run([*leafgate, "check", "-c", str(ours)])
        assert checked.returncode == 0, checked.stderr
        peer = Peer("gateway", files, [*leafgate, "run", "-c", str(ours)], {"mqtt": port})
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield Site(peer)
    assert "Traceback" not in peer.log()
    assert not any(password in peer.log() for password in PASSWORDS.values())


@pytest.mark.parametrize(("sender", "topic", "receiver", "subscription", "expected"), SCRIPT)
def test_rights_are_those_of_the_access_list(
    site: Site, sender: str, topic: str, receiver: str, subscription: str, expected: bool
) -> None:
    assert site.arrives(sender, topic, receiver, subscription, expected) is expected


@pytest.mark.parametrize("user", PASSWORDS)
@pytest.mark.parametrize("change", [lambda right: right[:-1], lambda right: right + "x", lambda right: ""])
def test_wrong_password_is_refused(site: Site, user: str, change: Callable[[str], str]) -> None:
    told = run(site.command("mosquitto_pub", user, "-t", "x", "-m", "x", password=change(PASSWORDS[user])))
    assert told.returncode != 0
    assert "connection refused" in (told.stdout + told.stderr).lower()


def test_who_says_nothing_is_anonymous(site: Site) -> None:
    assert run(site.command("mosquitto_pub", "", "-t", "x", "-m", "x")).returncode == 0
