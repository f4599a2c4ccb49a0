"""Mappings: subjects that become others when clients publish on them."""

import pytest

from gateway.accounts.mappings import Mappings
from gateway.accounts.permissions import Permissions
from gateway.settings.security import AccountRules, Destination, Export, Import, PermissionRules, SubjectRule
from tests.gateway.accounts.site import site
from tests.gateway.memory_transport import Peer

MAPPED = AccountRules(
    name="plant",
    mappings={
        "foo": "bar",
        "orders.*.*": "o.$2.$1",
        "half": (Destination(to="other", weight=50),),
        "lossy": (Destination(to="lossy", weight=50),),
        "both": (Destination(to="one", weight=50), Destination(to="two", weight=50)),
        "dice": "number.{{random(6)}}",
    },
)
EXPORTING = AccountRules(name="calc", exports=(Export(service="add"),), mappings={"add": "add.v2"})
ASKING = AccountRules(name="office", imports=(Import(account="calc", service="add"),))


@pytest.mark.parametrize("rows", [1, 3])
async def test_subject_becomes_another_for_everybody(rows: int):
    async with site(MAPPED) as house:
        reader, display = house.nats("plant"), house.mqtt("plant", b"d")
        reader.say(b"SUB > 1\r\n")
        display.subscribe(b"#")
        sender, sensor = house.nats("plant"), house.mqtt("plant", b"s")
        for _ in range(3):
            sender.say(b"PUB foo 1\r\n1\r\n" * rows)
            assert reader.hear() == b"MSG bar 1 1\r\n1\r\n" * rows
            display.packets()
            sender.say(b"PUB orders.a.b r 1\r\n1\r\n" * rows)
            assert reader.hear() == b"MSG o.b.a 1 r 1\r\n1\r\n" * rows
            display.packets()
            for qos in (0, 1):
                sensor.publish(b"orders/a/b", b"2", qos)
                assert reader.hear() == b"MSG o.b.a 1 1\r\n2\r\n"
                assert display.messages() == [(b"o/b/a", b"2")]


async def test_subscriptions_are_not_mapped():
    async with site(MAPPED) as house:
        reader, sender = house.nats("plant"), house.nats("plant")
        reader.say(b"SUB foo 1\r\nSUB bar 2\r\n")
        sender.say(b"PUB foo 1\r\n1\r\n")
        assert reader.hear() == b"MSG bar 2 1\r\n1\r\n"


async def test_answer_that_nobody_is_there_names_the_subject_that_was_asked():
    async with site(MAPPED) as house:
        asker = house.nats("plant")
        asker.say(b"SUB inbox 1\r\nPUB foo inbox 0\r\n\r\n")
        assert b" 503" in asker.hear()


async def test_row_for_which_lots_are_drawn_goes_in_shares():
    async with site(MAPPED) as house:
        turns = house.gateway.runtime.turns
        readers = [house.nats("plant") for _ in range(10)]
        for reader in readers:
            reader.say(b"".join(b"SUB one 1%d\r\nSUB two 2%d\r\n" % (sid, sid) for sid in range(30)))
        sender = house.nats("plant")
        clock, turns.clock = turns.clock, iter(range(1_000_000)).__next__  # type: ignore[assignment]
        Peer.say(sender, b"PUB both 1\r\n1\r\n" * 30 + b"PUB one 1\r\n2\r\n")
        assert sender.connection.session.has_more  # type: ignore[attr-defined]
        while turns:
            turns.take()
        turns.clock = clock
        house.gateway.runtime.switch.flush()
        for reader in readers:
            heard = reader.hear()
            assert heard.count(b"\r\n1\r\n") == 900
            assert heard.endswith(b"\r\n2\r\n")
        assert sender.connection.session.in_messages == 31  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", [1, 50])
async def test_weights_draw_lots_for_each_message(row: int):
    async with site(MAPPED) as house:
        reader, sender = house.nats("plant"), house.nats("plant")
        reader.say(b"SUB > 1\r\n")
        counts = {}
        for subject in (b"half", b"lossy", b"both", b"dice"):
            for _ in range(600 // row):
                sender.say(b"PUB %b 1\r\n1\r\n" % subject * row)
            heard = reader.hear().split(b"\r\n")[:-1:2]
            counts[subject] = {line: heard.count(line) for line in set(heard)}
        near = range(210, 391)
        assert set(counts[b"half"]) == {b"MSG half 1 1", b"MSG other 1 1"}
        assert counts[b"half"][b"MSG half 1 1"] in near
        assert set(counts[b"lossy"]) == {b"MSG lossy 1 1"}
        assert counts[b"lossy"][b"MSG lossy 1 1"] in near
        assert set(counts[b"both"]) == {b"MSG one 1 1", b"MSG two 1 1"}
        assert sum(counts[b"both"].values()) == 600
        assert set(counts[b"dice"]) == {b"MSG number.%d 1 1" % number for number in range(6)}


async def test_what_is_lost_on_purpose_is_acknowledged():
    rules = AccountRules(name="plant", mappings={"lossy": (Destination(to="lossy", weight=1),)})
    async with site(rules) as house:
        sensor = house.mqtt("plant", b"s")
        sensor.packets()
        for _ in range(20):
            sensor.publish(b"lossy", b"2", 1)
        assert sensor.connection.close_reason is None
        assert len(sensor.hear()) >= 80


async def test_retained_message_is_kept_under_the_new_subject():
    async with site(MAPPED) as house:
        house.mqtt("plant", b"s").publish(b"foo", b"2", 1, retain=True)
        retained = house.gateway.accounts["plant"].retained
        assert retained.get(b"foo") is None
        assert retained.get(b"bar") is not None


async def test_other_accounts_are_not_concerned():
    async with site(MAPPED, AccountRules(name="office")) as house:
        reader = house.nats("office")
        reader.say(b"SUB > 1\r\n")
        house.nats("office").say(b"PUB foo 1\r\n1\r\n")
        assert reader.hear() == b"MSG foo 1 1\r\n1\r\n"


async def test_request_from_another_account_is_mapped_where_it_is_served():
    async with site(EXPORTING, ASKING) as house:
        service, asker = house.nats("calc"), house.nats("office")
        service.say(b"SUB add.v2 1\r\n")
        asker.say(b"SUB inbox 1\r\nPUB add inbox 1\r\n1\r\n")
        assert service.hear().startswith(b"HMSG add.v2 1 _R_.")


def test_literal_source_comes_before_one_with_wildcards():
    mappings = Mappings({"a.*": "w.$1", "a.b": "literal", "a.>": "r.>"})
    for _ in range(3):
        assert mappings.destination(b"a.b") == b"literal"
        assert mappings.destination(b"a.c") == b"w.c"
        assert mappings.destination(b"a.c.d") == b"r.c.d"
        assert mappings.destination(b"b") == b"b"


async def test_rights_are_judged_on_the_subject_that_the_client_named():
    async with site(MAPPED) as house:
        rules = PermissionRules(publish=SubjectRule(allow=("foo",)))
        house.admission.permissions["plant"] = Permissions(rules)
        reader, sender = house.nats("plant"), house.nats("plant")
        reader.say(b"SUB > 1\r\n")
        sender.say(b"PUB foo 1\r\n1\r\nPUB bar 1\r\n2\r\n")
        assert reader.hear() == b"MSG bar 1 1\r\n1\r\n"
        assert sender.hear() == b"-ERR 'Permissions Violation for Publish to \"bar\"'\r\n"
