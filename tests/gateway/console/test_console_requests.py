"""Console requests in memory: who is answered, and within which bounds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway.console import requests, watching
from gateway.console.requests import ConsoleRequests
from gateway.console.settings import settings, unlike_defaults
from gateway.monitoring.observer import Observer
from gateway.monitoring.sources import Sources
from gateway.reloading.reloader import Outcome
from gateway.settings.difference import Change
from gateway.settings.listener import Listener
from gateway.settings.monitoring import Console
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, User
from protocols.close_reason import CloseReason
from tests.gateway.accounts.site import Site, site
from tests.gateway.system.test_system_requests import ask


@asynccontextmanager
async def console_site() -> AsyncIterator[Site]:
    async with site(AccountRules(name="plant"), AccountRules(name="office")) as house:
        gateway = house.gateway
        gateway.settings.replace(
            Config(users=(User(name="boss", password=Secret("x")),), console=Console(users=("boss",)))
        )
        sources = Sources(
            runtime=gateway.runtime,
            registry=gateway.registry,
            accounts=gateway.accounts,
            mqtt_sessions=gateway.mqtt_sessions,
        )
        service = ConsoleRequests(sources, Observer(sources, [], lambda: None))
        for account in gateway.accounts.values():
            service.offer_to(account)
        service.begin()
        yield house


async def test_users_who_are_not_named_are_refused_and_the_system_account_is_answered():
    async with console_site() as house:
        (told,) = await ask(house.nats("plant"), "$LEAFGATE.console.now")
        assert told["error"]["code"] == 403
        (told,) = await ask(house.nats("$SYS"), "$LEAFGATE.console.now")
        assert told["server"]["clients"] == 2
        assert told["you"]["account"] == "$SYS"
        assert told["protocols"]["nats"]["open"] == 2


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("none", b"", 404),
        ("clients", b"{", 400),
        ("clients", b'{"limit":201}', 400),
        ("clients", b'{"colour":1}', 400),
        ("subjects", b'{"open":[%b]}' % b",".join([b'"a"'] * 33), 400),
        ("close", b'{"cid":99}', 404),
        ("close", b"", 400),
    ],
)
async def test_request_that_cannot_be_answered_is_an_error(subject: str, body: bytes, code: int):
    async with console_site() as house:
        (told,) = await ask(house.nats("$SYS"), f"$LEAFGATE.console.{subject}", body)
        assert told["error"]["code"] == code, told


async def test_subjects_are_those_of_the_askers_account():
    async with console_site() as house:
        system, plant = house.nats("$SYS"), house.nats("plant")
        (told,) = await ask(system, "$LEAFGATE.console.subjects")
        assert told == {"subjects": 0, "left_out": 0, "open": {"": []}, "hidden": {}}
        plant.say(b"PUB a.b 1\r\nx\r\n")
        system.say(b"PUB c.d 1\r\nx\r\nPUB c.e 1\r\nx\r\n")
        (told,) = await ask(system, "$LEAFGATE.console.subjects", b'{"open":["","c"]}')
        assert {"token": "c", "below": 2} in told["open"][""]
        assert "a" not in [line["token"] for line in told["open"][""]]
        assert [line["token"] for line in told["open"]["c"]] == ["d", "e"]
        (told,) = await ask(system, "$LEAFGATE.console.subjects", b'{"filter":"*.e"}')
        assert [line["subject"] for line in told["found"]] == ["c.e"]


async def test_samples_end_when_nobody_asks_any_more(autojump_clock):
    async with console_site() as house:
        account = house.gateway.accounts["$SYS"]
        before = account.router.tree.count
        await ask(house.nats("$SYS"), "$LEAFGATE.console.subjects")
        assert account.router.tree.count == before + 1
        await trio.sleep(3 * watching.PATIENCE_SECONDS)
        assert account.router.tree.count == before


async def test_only_so_many_requests_are_answered_at_a_time(monkeypatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 0)
    async with console_site() as house:
        (told,) = await ask(house.nats("$SYS"), "$LEAFGATE.console.now")
        assert told["error"]["code"] == 429


async def test_client_is_found_by_a_part_of_its_name_and_closed():
    async with console_site() as house:
        system, plant = house.nats("$SYS"), house.nats("plant")
        (told,) = await ask(system, "$LEAFGATE.console.clients", b'{"text":"PLAN"}')
        assert told["total"] == 1
        (found,) = told["connections"]
        assert found["account"] == "plant"
        await ask(system, "$LEAFGATE.console.close", b'{"cid":%d}' % found["cid"])
        assert plant.connection.close_reason is CloseReason.KICKED


async def test_settings_are_told_where_they_are_not_the_default_ones_and_without_secrets():
    async with console_site() as house:
        (told,) = await ask(house.nats("$SYS"), "$LEAFGATE.console.settings")
        assert told["set"] == [
            {"key": "console.users", "sign": "", "text": "changed"},
            {"key": "users", "sign": "+", "text": "boss"},
        ]
        assert (told["total"], told["pending"], told["refused"]) == (2, [], "")


async def test_list_that_replaces_the_default_one_is_told_without_what_it_replaces():
    listener = Listener(protocol="nats", address="127.0.0.1:0")
    (told,) = unlike_defaults(Config(listeners=(listener,)))
    assert (told.key, told.sign, told.text) == ("listeners", "+", "nats 127.0.0.1:0")


async def test_settings_foretell_what_a_reload_would_change_or_why_it_would_be_refused():
    async def change() -> Outcome:
        return Outcome((Change("mqtt.max-inflight", "", "100 → 70"),))

    async def refuse() -> Outcome:
        return Outcome(reason="the file is wrong", is_fault=True)

    assert (await settings(Config(), change))["pending"] == [
        {"key": "mqtt.max-inflight", "sign": "", "text": "100 → 70"}
    ]
    assert (await settings(Config(), refuse))["refused"] == "the file is wrong"
