"""Passwords: which are right, and that a refusal tells nothing about what is there."""

import base64
import hashlib
import subprocess
from pathlib import Path

import bcrypt
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts import passwords
from gateway.accounts.passwords import BusyError, PasswordChecks, cost_of, hash_password, matches_hash
from gateway.settings.credential_forms import hash_fault, is_hash
from tests.integration.peers import require_peer


def hashed(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


async def matches(checks: PasswordChecks, stored: str | None, given: bytes) -> bool:
    found = checks.matches(stored, given)
    return found if isinstance(found, bool) else await found


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were worked on."""
    found: list[str] = []

    def watched(stored: str, given: bytes) -> bool:
        found.append(stored)
        return matches_hash(stored, given)

    monkeypatch.setattr(passwords, "matches_hash", watched)
    return found


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2x$", "$2y$"])
async def test_hash_of_every_prefix_is_checked(prefix: str):
    stored = prefix + hashed(b"wonderland")[4:]
    assert is_hash(stored)
    checks = PasswordChecks(1)
    assert await matches(checks, stored, b"wonderland")
    assert not await matches(checks, stored, b"Wonderland")


def test_our_own_hashes_are_like_others():
    assert bcrypt.checkpw(b"wonderland", hash_password(b"wonderland", 4).encode())


async def test_plain_text_is_compared_as_bytes():
    checks = PasswordChecks(1)
    assert await matches(checks, "wönder", "wönder".encode())
    assert not await matches(checks, "wonder", b"wonde")
    assert not await matches(checks, "wonder", b"")


@pytest.mark.parametrize("given", [b"", b"\0", b"a\0b", b"x" * 72, b"x" * 5000, bytes(range(256))])
async def test_whatever_is_given_is_a_wrong_password_and_no_fault(given: bytes):
    assert not await matches(PasswordChecks(1), hashed(b"wonderland"), given)


def of_mosquitto(password: bytes, iterations: int) -> str:
    """A hash as mosquitto_passwd makes it; without iterations one of before 2.0."""
    salt = b"twelve bytes"
    made = hashlib.pbkdf2_hmac("sha512", password, salt, iterations) if iterations else b""
    words = ["$7", str(iterations)] if iterations else ["$6"]
    digest = made or hashlib.sha512(password + salt).digest()
    return "$".join([*words, base64.b64encode(salt).decode(), base64.b64encode(digest).decode()])


@pytest.mark.parametrize("iterations", [0, 1, 101])
async def test_hash_of_mosquitto_is_checked_to_its_last_byte(checked: list[str], iterations: int):
    password = b"x" * 200
    stored = of_mosquitto(password, iterations)
    assert hash_fault(stored) == ""
    checks = PasswordChecks(1)
    checks.expect([stored], 1)
    assert await matches(checks, stored, password)
    assert await matches(checks, stored, password)
    assert checked == [stored]
    assert not await matches(checks, stored, password[:-1])
    assert not await matches(checks, stored, password + b"x")
    assert not await matches(checks, None, password)


@pytest.mark.parametrize(("option", "kind"), [([], "$7$"), (["-H", "sha512"], "$6$")])
@pytest.mark.parametrize("password", ["a", "wörd", "s p a c e", "x" * 100])
def test_hashes_that_mosquitto_passwd_makes(tmp_path: Path, option: list[str], kind: str, password: str):
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    command = [require_peer("mosquitto_passwd"), *option, "-b", str(file), "anna", password]
    subprocess.run(command, check=True, capture_output=True)
    stored = file.read_text().strip().partition(":")[2]
    assert stored.startswith(kind)
    assert hash_fault(stored) == ""
    assert matches_hash(stored, password.encode())
    assert not matches_hash(stored, password.encode()[:-1])


def test_costliest_hash_is_worked_on_whatever_made_it():
    cheap, dear = of_mosquitto(b"a", 101), of_mosquitto(b"a", 100_000)
    assert cost_of("") < cost_of(of_mosquitto(b"a", 0)) < cost_of(cheap) < cost_of(hashed(b"a", 4)) < cost_of(dear)


@given(
    start=st.sampled_from(
        ["$2b$04$", "$2a$", "$2y$31$", "$7$", "$7$101$", "$7$0$", "$7$99999999$", "$6$", "$6$YQ==$", ""]
    ),
    end=st.text(max_size=60) | st.text(alphabet="./ABCabc019$=+", max_size=90),
    password=st.binary(max_size=80),
)
def test_any_text_is_a_hash_a_fault_or_plain(start: str, end: str, password: bytes):
    stored = start + end
    fault = hash_fault(stored)
    assert len(end) < 8 or end not in fault
    if not fault and is_hash(stored):
        assert cost_of(stored) > 0
        assert not matches_hash(stored, password)


async def test_only_so_much_of_a_password_counts_as_bcrypt_reads():
    stored = hashed(b"x" * 72)
    assert await matches(PasswordChecks(1), stored, b"x" * 100)


async def test_broken_hash_lets_nobody_in():
    assert not await matches(PasswordChecks(1), "$2b$04$" + "!" * 53, b"")


async def test_refusal_of_an_unknown_user_takes_the_same_work_as_of_a_known_one(checked: list[str]):
    cheap, dear = hashed(b"a", 4), hashed(b"b", 5)
    checks = PasswordChecks(1)
    checks.expect([cheap, "plain", dear], 1)
    for stored in (None, dear, "plain"):
        checked.clear()
        assert not await matches(checks, stored, b"wrong")
        assert checked == [dear]
    checked.clear()
    assert not await matches(checks, cheap, b"wrong")
    assert checked == [cheap, dear]


async def test_where_there_are_no_hashes_nothing_is_computed(checked: list[str]):
    checks = PasswordChecks(1)
    checks.expect(["plain"], 1)
    assert not await matches(checks, None, b"plain")
    assert not await matches(checks, "plain", b"wrong")
    assert checked == []


async def test_right_password_is_known_again_and_a_wrong_one_is_not(checked: list[str]):
    stored, other = hashed(b"wonderland"), hashed(b"wonderland")
    checks = PasswordChecks(1)
    for _ in range(3):
        assert await matches(checks, stored, b"wonderland")
    assert len(checked) == 1
    for _ in range(3):
        assert not await matches(checks, stored, b"wrong")
    assert len(checked) == 4
    await matches(checks, other, b"wonderland")
    assert checked[-1] == other
    checks.expect([stored], 1)
    await matches(checks, stored, b"wonderland")
    assert len(checked) == 6


async def test_only_so_many_are_checked_at_once_and_only_so_many_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "MOST_WAITING", 4)
    at_work, most = 0, 0
    go_on = trio.Event()

    def slow(stored: str, given: bytes) -> bool:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        trio.from_thread.run(go_on.wait)
        at_work -= 1
        return True

    monkeypatch.setattr(passwords, "matches_hash", slow)
    checks = PasswordChecks(2)
    stored = hashed(b"x")
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(matches, checks, stored, b"%d" % number)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(BusyError):
            await matches(checks, stored, b"4")
        go_on.set()
    assert most <= 2
    assert await matches(checks, stored, b"5")
