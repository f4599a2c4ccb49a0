"""System requests in memory: who is answered, within which bounds, and what an error does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio.testing

from gateway.monitoring.observer import Observer
from gateway.monitoring.sources import Sources
from gateway.settings.security import AccountRules
from gateway.system import requests
from gateway.system.options import Options, OptionsError, read_options
from gateway.system.service import SystemService
from tests.gateway.accounts.site import Site, site
from tests.gateway.memory_transport import Peer


@asynccontextmanager
async def telling_site(reload_fault: str = "") -> AsyncIterator[Site]:
    async with site(AccountRules(name="plant"), AccountRules(name="office")) as house:
        gateway = house.gateway
        sources = Sources(
            runtime=gateway.runtime,
            registry=gateway.registry,
            accounts=gateway.accounts,
            mqtt_sessions=gateway.mqtt_sessions,
        )

        async def reload() -> str:
            return reload_fault

        service = SystemService(sources, Observer(sources, [], lambda: None), gateway.system, reload)
        for account in gateway.accounts.values():
            service.offer_to(account)
        service.begin()
        yield house


async def ask(peer: Peer, subject: str, body: bytes = b"") -> list[dict[str, object]]:
    """The answers, which may be none."""
    peer.say(b"SUB in 1\r\nPUB %b in %d\r\n%b\r\n" % (subject.encode(), len(body), body))
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked(0.01)
    peer.say(b"UNSUB 1\r\n")
    return [msgspec.json.decode(line) for line in peer.hear().split(b"\r\n") if line.startswith(b"{")]


async def test_system_account_hears_of_all_and_others_of_themselves():
    async with telling_site() as house:
        system, plant, office = house.nats("$SYS"), house.nats("plant"), house.nats("office")
        (told,) = await ask(system, "$SYS.REQ.SERVER.PING.CONNZ", b'{"auth":true}')
        assert {one["account"] for one in told["data"]["connections"]} == {"$SYS", "plant", "office"}
        (told,) = await ask(plant, "$SYS.REQ.SERVER.PING.CONNZ", b'{"auth":true,"acc":"office"}')
        assert {one["account"] for one in told["data"]["connections"]} == {"plant"}
        (told,) = await ask(plant, "$SYS.REQ.ACCOUNT.PING.STATZ", b'{"accounts":["office"]}')
        assert [one["acc"] for one in told["data"]["account_statz"]] == ["plant"]
        for subject in ("$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.ACCOUNT.office.CONNZ", "$SYS.REQ.SERVER.PING"):
            assert await ask(office, subject) == []


async def test_request_that_nobody_knows_is_not_answered():
    async with telling_site() as house:
        system = house.nats("$SYS")
        for subject in ("$SYS.REQ.SERVER.PING.KICK", "$SYS.REQ.SERVER.PING.NONE", "$SYS.REQ.ACCOUNT.plant.NONE"):
            assert await ask(system, subject) == []


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("$SYS.REQ.SERVER.PING.CONNZ", b"{", 400),
        ("$SYS.REQ.SERVER.PING.CONNZ", b'{"limit":"x"}', 400),
        ("$SYS.REQ.SERVER.PING.CONNZ", b'{"state":9}', 400),
        ("$SYS.REQ.SERVER.PING.CONNZ", b'{"sort":"beauty"}', 500),
        ("$SYS.REQ.ACCOUNT.nobody.INFO", b"", 500),
    ],
)
async def test_request_that_is_wrong_is_told_so(subject: str, body: bytes, code: int):
    async with telling_site() as house:
        (told,) = await ask(house.nats("$SYS"), subject, body)
        assert told["error"]["code"] == code
        assert "data" not in told


async def test_answer_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch):
    async with telling_site() as house:
        system = house.nats("$SYS")
        limits = msgspec.structs.replace(house.gateway.settings.limits, max_payload_bytes=300)
        monkeypatch.setattr(house.gateway.settings, "limits", limits)
        (told,) = await ask(system, "$SYS.REQ.SERVER.PING.VARZ")
        assert told["error"]["code"] == 413


async def test_too_many_requests_at_a_time_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 2)
    async with telling_site() as house:
        system = house.nats("$SYS")
        system.say(b"SUB in 1\r\n" + b"PUB $SYS.REQ.SERVER.PING.IDZ in 0\r\n\r\n" * 5)
        for _ in range(5):
            await trio.testing.wait_all_tasks_blocked(0.01)
        told = [msgspec.json.decode(line) for line in system.hear().split(b"\r\n") if line.startswith(b"{")]
        assert [one["error"]["code"] for one in told if "error" in one] == [429] * 3
        assert sum("id" in one for one in told) == 2
        assert len(await ask(system, "$SYS.REQ.SERVER.PING.IDZ")) == 1


async def test_error_that_nobody_expects_ends_one_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with telling_site() as house:
        system = house.nats("$SYS")
        monkeypatch.setitem(requests.REPORTS, "varz", None)  # type: ignore[arg-type]
        assert await ask(system, "$SYS.REQ.SERVER.PING.VARZ") == []
        assert "event=system-request-failed" in caplog.text
        assert len(await ask(system, "$SYS.REQ.SERVER.PING.IDZ")) == 1


@pytest.mark.parametrize("fault", ["", "leafgate.toml: limits: no"])
async def test_configuration_is_reloaded(fault: str):
    async with telling_site(fault) as house:
        subject = f"$SYS.REQ.SERVER.{house.gateway.runtime.names.server_id}.RELOAD"
        (told,) = await ask(house.nats("$SYS"), subject)
        assert told.get("error", {}).get("description", "") == fault  # type: ignore[attr-defined]


def test_options_are_parameters_of_a_query():
    options = read_options(
        b'{"subscriptions":true,"subscriptions_detail":true,"state":2,"account":"a","limit":5,"include_unused":true}'
    )
    assert options.parameters() == {
        "subs": "detail",
        "state": "any",
        "acc": "a",
        "account": "a",
        "limit": "5",
        "unused": "1",
    }
    assert read_options(b"") == Options()
    with pytest.raises(OptionsError):
        read_options(b"[]")
