"""Requests about the JWTs of accounts, in memory: who gets the answers, and what an error does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from gateway.services.claims_requests import ClaimsRequests
from tests.gateway.accounts.by_user import House, house_of

USERS = {"all": {}, "asker": {"publish": {"allow": ["$SYS.REQ.>"]}}}


@asynccontextmanager
async def house(accounts: object) -> AsyncIterator[House]:
    async with house_of(USERS) as made:
        trust = SimpleNamespace(resolver=SimpleNamespace(accounts=accounts))
        ClaimsRequests(made.gateway.runtime, made.gateway.account, trust).offer()  # type: ignore[arg-type]
        yield made


async def settle() -> None:
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_who_may_not_publish_on_the_reply_subject_is_told_alone():
    async with house(lambda: ["A"]) as made:
        door, asker = made.nats("all"), made.nats("asker")
        door.say(b"SUB door 1\r\n")
        asker.say(b"SUB door 7\r\nPUB $SYS.REQ.CLAIMS.LIST door 0\r\n\r\n")
        await settle()
        assert asker.hear().startswith(b"MSG door 7 ")
        assert door.hear() == b""


async def test_error_that_nobody_expects_ends_one_request(caplog: pytest.LogCaptureFixture):
    def fail() -> list[str]:
        raise MemoryError

    async with house(fail) as made:
        asker = made.nats("asker")
        asker.say(b"SUB i 7\r\nPUB $SYS.REQ.CLAIMS.LIST i 0\r\n\r\n")
        await settle()
        assert "event=claims-request-failed" in caplog.text
        asker.say(b"PING\r\n")
        assert b"PONG" in asker.hear()
