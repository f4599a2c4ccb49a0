"""Services that accounts import from each other."""

import json
import re

import pytest
import trio
from trio.testing import MockClock

from gateway.accounts import service_import
from gateway.settings.security import AccountRules, Export, Import, Latency
from tests.gateway.accounts.site import Site, site
from tests.gateway.memory_transport import Peer

CALC = AccountRules(
    name="calc",
    exports=(
        Export(service="calc.add", latency=Latency(subject="lat.calc"), response_seconds=5),
        Export(service="many.*", response="stream", response_seconds=5),
    ),
)
OFFICE = AccountRules(
    name="office",
    imports=(
        Import(account="calc", service="calc.add", to="add", share=True),
        Import(account="calc", service="many.*", to="m.*"),
    ),
)
PLANT = AccountRules(name="plant", imports=(Import(account="calc", service="calc.add"),))
UNAVAILABLE = b"NATS/1.0 503\r\nNats-Subject: %b\r\n\r\n\r\n"


def info_of(heard: bytes) -> dict[str, object]:
    found = re.search(rb"Nats-Request-Info: (.*)\r\n", heard)
    assert found is not None
    told: dict[str, object] = json.loads(found[1])
    return told


def reply_of(heard: bytes) -> bytes:
    found = re.search(rb"_R_\.\S+", heard)
    assert found is not None
    return found[0]


def awaited(house: Site) -> int:
    answers = house.gateway.accounts["calc"].answers
    return len(answers._awaited)  # type: ignore[union-attr]


def samples(heard: bytes) -> list[dict[str, object]]:
    return [json.loads(one) for one in re.findall(rb"MSG lat\.calc \S+ \d+\r\n(.*)\r\n", heard)]


def ask(peer: Peer, subject: bytes, payload: bytes = b"12") -> None:
    peer.say(b"SUB inbox 9\r\nPUB %b inbox %d\r\n%b\r\n" % (subject, len(payload), payload))


async def test_request_is_answered_from_the_other_account():
    async with site(CALC, OFFICE, PLANT) as house:
        service, asker, other = house.nats("calc"), house.nats("office"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\n")
        ask(asker, b"add")
        heard = service.hear()
        assert heard.startswith(b"HMSG calc.add 1 _R_.")
        assert heard.endswith(b"\r\n\r\n12\r\n")
        service.say(b"PUB %b 1\r\n3\r\n" % reply_of(heard))
        assert asker.hear() == b"MSG inbox 9 1\r\n3\r\n"
        ask(other, b"calc.add")
        service.say(b"PUB %b 1\r\n4\r\n" % reply_of(service.hear()))
        assert other.hear() == b"MSG inbox 9 1\r\n4\r\n"
        assert awaited(house) == 0


async def test_service_hears_who_asks_as_far_as_that_is_shared():
    async with site(CALC, OFFICE, PLANT) as house:
        service = house.nats("calc")
        service.say(b"SUB calc.add 1\r\nSUB many.* 2\r\n")
        asker = house.nats("office", lang="x", version="1")
        ask(asker, b"add")
        told = info_of(service.hear())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z", str(told.pop("start")))
        assert told == {
            "host": "127.0.0.1",
            "id": asker.connection.cid,
            "acc": "office",
            "user": "office",
            "name": "office",
            "lang": "x",
            "ver": "1",
            "server": house.gateway.runtime.names.server_name,
            "kind": "Client",
            "client_type": "nats",
        }
        asker.say(b'HPUB m.k inbox 50 52\r\nNATS/1.0\r\nNats-Request-Info: {"acc":"x"}\r\nA: b\r\n\r\nhi\r\n')
        heard = service.hear()
        assert info_of(heard) == {"acc": "office"}
        assert heard.count(b"Nats-Request-Info") == 1
        assert heard.endswith(b'NATS/1.0\r\nA: b\r\nNats-Request-Info: {"acc":"office"}\r\n\r\nhi\r\n')


async def test_one_answer_is_all_that_a_singleton_gives():
    async with site(CALC, PLANT) as house:
        service, asker = house.nats("calc"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\n")
        ask(asker, b"calc.add")
        reply = reply_of(service.hear())
        service.say(b"PUB %b 1\r\n3\r\n" % reply * 2)
        assert asker.hear() == b"MSG inbox 9 1\r\n3\r\n"


async def test_stream_of_answers_ends_with_an_empty_one():
    async with site(CALC, OFFICE) as house:
        service, asker = house.nats("calc"), house.nats("office")
        service.say(b"SUB many.* 1\r\n")
        ask(asker, b"m.k")
        heard = service.hear()
        assert heard.startswith(b"HMSG many.k 1 ")
        for payload in (b"1", b"2", b"", b"3"):
            service.say(b"PUB %b %d\r\n%b\r\n" % (reply_of(heard), len(payload), payload))
        assert asker.hear() == b"MSG inbox 9 1\r\n1\r\nMSG inbox 9 1\r\n2\r\nMSG inbox 9 0\r\n\r\n"
        assert awaited(house) == 0


async def test_answer_may_be_answered():
    async with site(CALC, OFFICE) as house:
        service, asker = house.nats("calc"), house.nats("office")
        service.say(b"SUB many.* 1\r\nSUB more 2\r\n")
        ask(asker, b"m.k")
        service.say(b"PUB %b more 1\r\n1\r\n" % reply_of(service.hear()))
        heard = asker.hear()
        assert heard.startswith(b"MSG inbox 9 _R_.")
        asker.say(b"PUB %b 2\r\nok\r\n" % reply_of(heard))
        assert service.hear() == b"MSG more 2 2\r\nok\r\n"


@pytest.mark.parametrize("subscribed", [b"", b"SUB add 1\r\n"])
async def test_request_that_nobody_serves_is_answered_so_on_the_subject_of_the_asker(subscribed: bytes):
    async with site(CALC, OFFICE) as house:
        house.nats("calc").say(subscribed)
        asker = house.nats("office")
        ask(asker, b"add")
        assert asker.hear() == b"HMSG inbox 9 35 35\r\n" + UNAVAILABLE % b"add"
        assert awaited(house) == 0


async def test_subject_of_the_service_means_nothing_where_it_has_another_name():
    async with site(CALC, OFFICE) as house:
        service, asker = house.nats("calc"), house.nats("office")
        service.say(b"SUB calc.add 1\r\nSUB add 2\r\n")
        ask(asker, b"calc.add")
        assert service.hear() == b""
        assert b" 503" in asker.hear()


async def test_reply_subject_of_another_account_leads_nowhere():
    async with site(CALC, PLANT) as house:
        service, asker, stranger = house.nats("calc"), house.nats("plant"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\n")
        ask(asker, b"calc.add")
        stranger.say(b"PUB %b 1\r\n3\r\n" % reply_of(service.hear()))
        assert asker.hear() == b""


async def test_answer_that_does_not_come_is_given_up(autojump_clock: MockClock):
    async with site(CALC, PLANT) as house:
        service, asker = house.nats("calc"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\nSUB lat.> 2\r\n")
        ask(asker, b"calc.add")
        reply = reply_of(service.hear())
        await trio.sleep(4.9)
        assert awaited(house) == 1
        await trio.sleep(0.2)
        assert awaited(house) == 0
        (sample,) = samples(service.hear())
        assert (sample["status"], sample["description"]) == (504, "Service Timeout")
        service.say(b"PUB %b 1\r\n3\r\n" % reply)
        assert b"MSG" not in asker.hear()


async def test_no_more_answers_are_awaited_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service_import, "MOST_AWAITED", 3)
    async with site(CALC, PLANT) as house:
        service, asker = house.nats("calc"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\n")
        for _ in range(5):
            ask(asker, b"calc.add")
        assert awaited(house) == 3
        replies = re.findall(rb"_R_\.\S+", service.hear())
        for reply in replies:
            service.say(b"PUB %b 1\r\n3\r\n" % reply)
        assert asker.hear().count(b"MSG inbox") == 3


async def test_latency_is_told_in_the_account_that_serves():
    async with site(CALC, OFFICE, PLANT) as house:
        service, asker, other = house.nats("calc"), house.nats("office"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\nSUB lat.> 2\r\n")
        other.say(b"SUB lat.> 2\r\n")
        ask(asker, b"add")
        service.say(b"PUB %b 1\r\n3\r\n" % reply_of(service.hear()))
        (sample,) = samples(service.hear())
        assert " ".join(sample) == "type id timestamp status requestor responder start service system total"
        assert (sample["type"], sample["status"]) == ("io.nats.server.metric.v1.service_latency", 200)
        requestor, responder = sample["requestor"], sample["responder"]
        assert isinstance(requestor, dict)
        assert isinstance(responder, dict)
        assert (requestor["acc"], requestor["name"]) == ("office", "office")
        assert (responder["acc"], responder["id"]) == ("calc", service.connection.cid)
        ask(other, b"calc.add")
        service.say(b"PUB %b 1\r\n3\r\n" % reply_of(service.hear()))
        (sample,) = samples(service.hear())
        assert sample["requestor"] == {"acc": "plant"}
        assert b"lat" not in other.hear()


async def test_request_without_a_reply_subject_is_told_of_as_a_bad_one():
    async with site(CALC, PLANT) as house:
        service, asker = house.nats("calc"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\nSUB lat.> 2\r\n")
        asker.say(b"PUB calc.add 1\r\n1\r\n")
        heard = service.hear()
        assert heard.count(b"HMSG calc.add 1 ") == 1
        assert b"_R_." not in heard
        (sample,) = samples(heard)
        assert (sample["status"], sample["description"]) == (400, "Bad Request")


async def test_mqtt_client_calls_a_service():
    async with site(CALC, PLANT) as house:
        service, asker = house.nats("calc"), house.mqtt("plant", b"asker")
        service.say(b"SUB calc.add 1\r\n")
        asker.subscribe(b"answers")
        asker.packets()
        asker.request(b"calc/add", b"12", b"answers")
        heard = service.hear()
        assert info_of(heard)["acc"] == "plant"
        service.say(b"PUB %b 1\r\n3\r\n" % reply_of(heard))
        assert asker.messages() == [(b"answers", b"3")]


async def test_service_may_be_served_by_a_third_account():
    between = AccountRules(
        name="office",
        imports=(Import(account="calc", service="calc.add", to="add", share=True),),
        exports=(Export(service="add"),),
    )
    asking = AccountRules(name="plant", imports=(Import(account="office", service="add", to="sum"),))
    async with site(CALC, between, asking) as house:
        service, asker = house.nats("calc"), house.nats("plant")
        service.say(b"SUB calc.add 1\r\n")
        ask(asker, b"sum")
        heard = service.hear()
        assert info_of(heard) == {"acc": "plant", "svc": "office"}
        service.say(b"PUB %b 1\r\n3\r\n" % reply_of(heard))
        assert asker.hear() == b"MSG inbox 9 1\r\n3\r\n"


async def test_member_of_a_queue_group_answers():
    async with site(CALC, PLANT) as house:
        services = [house.nats("calc") for _ in range(2)]
        for one in services:
            one.say(b"SUB calc.add workers 1\r\n")
        asker = house.nats("plant")
        for _ in range(20):
            ask(asker, b"calc.add")
        assert sum(one.hear().count(b"HMSG") for one in services) == 20


@pytest.mark.parametrize("subject", [b"$LEAFGATE.publish.x", b"$SYS.REQ.USER.INFO"])
async def test_import_of_everything_asks_nothing_that_the_gateway_answers(subject: bytes):
    exporter = AccountRules(name="calc", exports=(Export(service=">"),))
    importer = AccountRules(name="office", imports=(Import(account="calc", service=">"),))
    async with site(exporter, importer) as house:
        service, asker = house.nats("calc"), house.nats("office")
        service.say(b"SUB > 1\r\n")
        asker.say(b"SUB inbox 9\r\nPUB %b inbox 2\r\nhi\r\n" % subject)
        assert asker.hear().count(b"MSG inbox 9") == 1
        # What is published by that is a request of its own.
        assert subject not in service.hear()


@pytest.mark.parametrize("row", [1, 3])
@pytest.mark.parametrize("chained", [False, True])
async def test_request_to_very_many_goes_in_shares_and_nothing_overtakes_it(chained: bool, row: int):
    """Also where the service is imported from an account that imports it itself."""
    between = AccountRules(
        name="between",
        imports=(Import(account="calc", service="calc.add", to="sum"),),
        exports=(Export(service="sum"),),
    )
    accounts = [CALC, OFFICE]
    if chained:
        accounts = [
            CALC,
            between,
            AccountRules(name="office", imports=(Import(account="between", service="sum", to="add"),)),
        ]
    async with site(*accounts) as house:
        turns = house.gateway.runtime.turns
        workers = [house.nats("calc") for _ in range(30)]
        for worker in workers:
            worker.say(b"".join(b"SUB calc.add %d\r\n" % sid for sid in range(100)))
            worker.hear()
        asker = house.nats("office")
        asker.say(b"SUB inbox 1\r\n")
        for _ in range(3):
            clock, turns.clock = turns.clock, iter(range(1_000_000)).__next__  # type: ignore[assignment]
            Peer.say(asker, b"PUB add inbox 1\r\n1\r\n" * row + b"PUB add inbox 1\r\n2\r\n")
            shares = 0
            while turns:
                turns.take()
                shares += 1
            assert shares > 2 * row
            turns.clock = clock
            house.gateway.runtime.switch.flush()
            replies = set()
            for worker in workers:
                told = worker.hear()
                heard = re.findall(rb"HMSG calc.add (\d+) (\S+) [^\0]*?\r\n\r\n(.)\r\n", told)
                assert len(heard) == 100 * (1 + row)
                assert told.count(b'"acc":"office"') == len(heard)
                replies |= {reply for _, reply, _ in heard}
                for sid in range(100):
                    assert [payload for one, _, payload in heard if int(one) == sid] == [*[b"1"] * row, b"2"]
            assert len(replies) == 1 + row
            assert asker.hear() == b""
            for reply in replies:
                workers[0].say(b"PUB %b 2\r\nok\r\n" % reply)
            assert asker.hear() == b"MSG inbox 1 2\r\nok\r\n" * (1 + row)


async def test_request_that_is_handed_on_in_shares_and_reaches_nobody_is_answered_so():
    async with site(CALC, OFFICE) as house:
        worker, asker = house.nats("calc"), house.nats("office")
        for first in range(0, 3000, 100):
            worker.say(b"".join(b"SUB calc.add %d\r\nUNSUB %d 1\r\n" % (sid, sid) for sid in range(first, first + 100)))
        ask(asker, b"add")
        assert worker.hear().count(b"HMSG calc.add") == 3000
        ask(asker, b"add")
        assert asker.hear().endswith(UNAVAILABLE % b"add")
        assert awaited(house) == 1
