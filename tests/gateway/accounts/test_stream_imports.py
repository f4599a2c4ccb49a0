"""Streams that accounts import from each other."""

import re

import pytest

from gateway.accounts.permissions import Permissions
from gateway.settings.security import AccountRules, Export, Import, PermissionRules, SubjectRule
from tests.gateway.accounts.site import Site, site
from tests.gateway.memory_transport import Peer

PLANT = AccountRules(name="plant", exports=(Export(stream="telemetry.>"), Export(stream="by.*.*")))
PREFIXED = AccountRules(name="office", imports=(Import(account="plant", stream="telemetry.>", prefix="plant"),))
BARE = AccountRules(name="office", imports=(Import(account="plant", stream="telemetry.>"),))
TURNED = AccountRules(name="office", imports=(Import(account="plant", stream="by.*.*", to="of.$2.$1"),))


def interest(house: Site, account: str = "plant") -> set[tuple[bytes, bytes]]:
    return {one[:2] for one in house.gateway.accounts[account].router.local_interest()} - {
        (b"$LEAFGATE.retained.get", b"")
    }


async def test_stream_comes_under_its_prefix_and_nowhere_else():
    async with site(PLANT, PREFIXED) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB plant.telemetry.> 1\r\nSUB telemetry.> 2\r\nSUB > 3\r\n")
        sender.say(b"PUB telemetry.x reply.to 2\r\nhi\r\nPUB other 1\r\n.\r\n")
        heard = reader.hear()
        for sid in (1, 3):
            assert b"MSG plant.telemetry.x %d reply.to 2\r\nhi\r\n" % sid in heard
        assert heard.count(b"MSG") == 2


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_row_of_messages_comes_whole(count: int):
    async with site(PLANT, PREFIXED) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB plant.telemetry.> 1\r\n")
        for _ in range(3):  # Routes of the first, of the second, and of further messages are not found in one way.
            sender.say(b"PUB telemetry.x 2\r\nhi\r\n" * count)
            assert reader.hear() == b"MSG plant.telemetry.x 1 2\r\nhi\r\n" * count


async def test_headers_come_too():
    async with site(PLANT, BARE) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB telemetry.x 1\r\n")
        sender.say(b"HPUB telemetry.x 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n")
        assert reader.hear() == b"HMSG telemetry.x 1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n"


async def test_tokens_change_places():
    async with site(PLANT, TURNED) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB of.b.* 1\r\n")
        assert interest(house) == {(b"by.*.b", b"")}
        sender.say(b"PUB by.a.b 1\r\n1\r\nPUB by.a.c 1\r\n2\r\n")
        assert reader.hear() == b"MSG of.b.a 1 1\r\n1\r\n"


@pytest.mark.parametrize("subject", [b"out.$LEAFGATE.publish.x", b"out.$SYS.REQ.USER.INFO", b"two.time.$LEAFGATE"])
@pytest.mark.parametrize("count", [1, 2])
async def test_what_the_gateway_answers_the_importer_is_not_asked_by_the_exporter(subject: bytes, count: int):
    exporter = AccountRules(name="plant", exports=(Export(stream="out.>"), Export(stream="two.*.*")))
    imports = (Import(account="plant", stream="out.>", to=">"), Import(account="plant", stream="two.*.*", to="$2.$1"))
    async with site(exporter, AccountRules(name="office", imports=imports)) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB > 1\r\nSUB *.* 2 group\r\n")
        for _ in range(3):
            sender.say(b"PUB %b answer 2\r\nhi\r\n" % subject * count)
        assert reader.hear() == b""


async def test_answers_to_mqtt_requests_of_the_exporter_are_no_stream():
    exporter = AccountRules(name="plant", exports=(Export(stream=">"),))
    importer = AccountRules(name="office", imports=(Import(account="plant", stream=">"),))
    async with site(exporter, importer) as house:
        house.mqtt("office", b"o").request(b"q", b"", b"a")  # From now on there is somebody who takes answers.
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB > 1\r\n")
        gateway_id = house.gateway.runtime.names.gateway_id
        sender.say(b"PUB _MQTT5.%b.Yw.door 2\r\nhi\r\n" % gateway_id)
        assert reader.hear() == b""


async def test_subscriptions_that_overlap_get_a_copy_each_and_an_mqtt_client_one():
    async with site(PLANT, PREFIXED) as house:
        reader, sender, display = house.nats("office"), house.nats("plant"), house.mqtt("office", b"display")
        reader.say(b"SUB plant.telemetry.* 1\r\nSUB plant.*.x 2\r\nSUB plant.> 3\r\n")
        display.subscribe(b"plant/#")
        display.subscribe(b"plant/telemetry/+")
        for _ in range(3):
            sender.say(b"PUB telemetry.x 2\r\nhi\r\n")
            assert sorted(reader.hear().splitlines()[::2]) == [b"MSG plant.telemetry.x %d 2" % sid for sid in (1, 2, 3)]
            assert display.messages() == [(b"plant/telemetry/x", b"hi")]


async def test_mqtt_publisher_reaches_the_importer_in_both_protocols():
    async with site(PLANT, PREFIXED) as house:
        reader, display, sensor = house.nats("office"), house.mqtt("office", b"d"), house.mqtt("plant", b"s")
        same = house.mqtt("plant", b"same")
        reader.say(b"SUB plant.telemetry.x 1\r\n")
        display.subscribe(b"plant/telemetry/+", 1)
        same.subscribe(b"telemetry/x")
        for qos in (0, 1):
            sensor.publish(b"telemetry/x", b"21", qos)
            assert reader.hear() == b"MSG plant.telemetry.x 1 2\r\n21\r\n"
            assert display.messages() == [(b"plant/telemetry/x", b"21")]
            assert same.messages() == [(b"telemetry/x", b"21")]


async def test_members_of_a_queue_group_share_across_accounts():
    async with site(PLANT, PREFIXED) as house:
        first, second, third = house.nats("office"), house.nats("office"), house.nats("plant")
        for reader in (first, second):
            reader.say(b"SUB plant.telemetry.q workers 1\r\n")
        third.say(b"SUB telemetry.q workers 1\r\n")
        house.nats("plant").say(b"PUB telemetry.q 1\r\n1\r\n" * 60)
        counts = [reader.hear().count(b"MSG") for reader in (first, second, third)]
        assert sum(counts) == 60
        assert all(counts)


async def test_shared_subscription_of_mqtt_gets_each_message_once():
    async with site(PLANT, PREFIXED) as house:
        readers = [house.mqtt("office", name) for name in (b"1", b"2")]
        for reader in readers:
            reader.subscribe(b"$share/g/plant/telemetry/#")
        sender = house.nats("plant")
        counts = [0, 0]
        for number in range(1, 41):
            sender.say(b"PUB telemetry.q 1\r\n1\r\n")
            counts = [count + len(reader.messages()) for count, reader in zip(counts, readers, strict=True)]
            assert sum(counts) == number
        assert all(counts)


async def test_retained_message_comes_live_and_stays_with_its_account():
    async with site(PLANT, PREFIXED) as house:
        display, sensor = house.mqtt("office", b"d"), house.mqtt("plant", b"s")
        display.subscribe(b"plant/#")
        sensor.publish(b"telemetry/x", b"21", retain=True)
        assert display.messages() == [(b"plant/telemetry/x", b"21")]
        assert len(house.gateway.accounts["office"].retained) == 0
        assert len(house.gateway.accounts["plant"].retained) == 1


async def test_interest_of_the_importer_is_told_where_the_stream_comes_from():
    async with site(PLANT, PREFIXED) as house:
        reader, other = house.nats("office"), house.nats("office")
        assert interest(house) == set()
        reader.say(b"SUB plant.telemetry.x 1\r\nSUB plant.> 2\r\nSUB plant.*.q w 3\r\nSUB elsewhere 4\r\n")
        other.say(b"SUB plant.telemetry.x 1\r\n")
        assert interest(house) == {(b"telemetry.x", b""), (b"telemetry.>", b""), (b"telemetry.q", b"w")}
        reader.leave()
        assert interest(house) == {(b"telemetry.x", b"")}
        other.say(b"UNSUB 1\r\n")
        assert interest(house) == set()


async def test_request_to_nobody_who_imports_is_answered_so():
    async with site(PLANT, PREFIXED) as house:
        house.nats("office").say(b"SUB elsewhere 1\r\n")
        asker = house.nats("plant")
        asker.say(b"SUB inbox 1\r\nPUB telemetry.x inbox 0\r\n\r\n")
        assert b"NATS/1.0 503" in asker.hear()


async def test_what_is_imported_is_not_passed_on():
    third = AccountRules(name="third", imports=(Import(account="office", stream="plant.>"),))
    between = AccountRules(name="office", imports=PREFIXED.imports, exports=(Export(stream="plant.>"),))
    async with site(PLANT, between, third) as house:
        reader, sender = house.nats("third"), house.nats("plant")
        reader.say(b"SUB > 1\r\n")
        sender.say(b"PUB telemetry.x 2\r\nhi\r\n")
        assert reader.hear() == b""
        assert interest(house) == set()
        house.nats("office").say(b"PUB plant.own 2\r\nho\r\n")
        assert reader.hear() == b"MSG plant.own 1 2\r\nho\r\n"


async def test_what_the_gateway_answers_is_no_part_of_a_stream():
    everything = AccountRules(name="plant", exports=(Export(stream=">"),))
    all_of_it = AccountRules(name="office", imports=(Import(account="plant", stream=">"),))
    async with site(everything, all_of_it) as house:
        reader, asker = house.nats("office"), house.nats("plant")
        reader.say(b"SUB > 1\r\n")
        asker.say(b"SUB inbox 1\r\nPUB $LEAFGATE.time inbox 0\r\n\r\n")
        assert asker.hear().count(b"MSG inbox 1 ") == 1
        heard = reader.hear()
        assert b"$LEAFGATE" not in heard
        assert heard.count(b"MSG inbox 1 ") == 1


async def test_member_that_left_gets_nothing_of_what_was_found_before():
    async with site(PLANT, PREFIXED) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        for _ in range(3):
            reader.say(b"SUB plant.telemetry.x 1\r\n")
            for _ in range(3):
                sender.say(b"PUB telemetry.x 2\r\nhi\r\n")
                assert reader.hear() == b"MSG plant.telemetry.x 1 2\r\nhi\r\n"
            reader.say(b"UNSUB 1\r\n")
            sender.say(b"PUB telemetry.x 2\r\nhi\r\n")
            assert reader.hear() == b""


async def test_rights_of_the_importer_are_judged_on_its_own_subjects():
    async with site(PLANT, PREFIXED) as house:
        rules = PermissionRules(subscribe=SubjectRule(deny=("plant.telemetry.secret",)))
        house.admission.permissions["office"] = Permissions(rules)
        reader, worker, sender = house.nats("office"), house.nats("office"), house.nats("plant")
        reader.say(b"SUB plant.> 1\r\nSUB plant.telemetry.secret 2\r\n")
        worker.say(b"SUB plant.> workers 1\r\n")
        reader.hear()
        for _ in range(3):
            sender.say(b"PUB telemetry.secret 1\r\n1\r\nPUB telemetry.x 1\r\n2\r\n")
            assert reader.hear() == b"MSG plant.telemetry.x 1 1\r\n2\r\n"
            assert worker.hear() == b"MSG plant.telemetry.x 1 1\r\n2\r\n"


@pytest.mark.parametrize("row", [1, 3])
@pytest.mark.parametrize("wanted", [b"telemetry.x", b"telemetry.*"])
async def test_message_to_very_many_in_another_account_goes_in_shares_and_nothing_overtakes_it(wanted: bytes, row: int):
    async with site(PLANT, BARE) as house:
        turns = house.gateway.runtime.turns
        readers = [house.nats("office") for _ in range(30)]
        for reader in readers:
            for first in range(0, 100, 50):
                reader.say(b"".join(b"SUB %b %d\r\n" % (wanted, sid) for sid in range(first, first + 50)))
        sender = house.nats("plant")
        for _ in range(3):  # Routes of the first, of the second, and of further messages are not found in one way.
            clock, turns.clock = turns.clock, iter(range(1_000_000)).__next__  # type: ignore[assignment]
            Peer.say(sender, b"PUB telemetry.x answer 1\r\n1\r\n" + b"PUB telemetry.x 1\r\n2\r\n" * row)
            assert sender.connection.session.has_more  # type: ignore[attr-defined]
            shares = 0
            while turns:
                turns.take()
                shares += 1
            assert shares > 2
            turns.clock = clock
            house.gateway.runtime.switch.flush()
            for reader in readers:
                heard = re.findall(rb"MSG telemetry.x (\d+) .*\r\n(.)\r\n", reader.hear())
                assert len(heard) == 100 * (1 + row)
                for sid in range(100):
                    assert [payload for one, payload in heard if int(one) == sid] == [b"1", *[b"2"] * row]
            assert b"503" not in sender.hear()
