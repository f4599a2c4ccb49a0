"""Accounts that change while clients are there: who is not concerned notices nothing."""

import pytest

from gateway.settings.security import AccountRules, Export, Import
from protocols.close_reason import CloseReason
from tests.gateway.accounts.site import site

PLANT = AccountRules(name="plant", exports=(Export(stream="a.>"), Export(stream="b.>"), Export(service="calc")))
A = Import(account="plant", stream="a.>", prefix="p")
B = Import(account="plant", stream="b.>", prefix="p")
CALC = Import(account="plant", service="calc", to="c")


def office(*imports: Import, **fields: object) -> AccountRules:
    return AccountRules(name="office", imports=imports, **fields)  # type: ignore[arg-type]


async def test_stream_is_imported_for_those_who_are_there_already():
    async with site(PLANT, office()) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB p.a.x 1\r\nSUB p.a.y g 2\r\n")
        sender.say(b"PUB a.x 1\r\n1\r\nPUB a.y 1\r\n1\r\n" * 3)
        assert reader.hear() == b""
        house.gateway.apply_accounts((PLANT, office(A)))
        sender.say(b"PUB a.x 1\r\n1\r\nPUB a.y 1\r\n1\r\n")
        assert reader.hear() == b"MSG p.a.x 1 1\r\n1\r\nMSG p.a.y 2 1\r\n1\r\n"
        house.gateway.apply_accounts((PLANT, office()))
        sender.say(b"PUB a.x 1\r\n1\r\nPUB a.y 1\r\n1\r\n")
        assert reader.hear() == b""
        assert reader.connection.close_reason is None


async def test_import_that_stays_is_left_alone():
    async with site(PLANT, office(A, CALC)) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB p.> 1\r\nSUB inbox 2\r\nPUB c inbox 0\r\n\r\n")
        before = dict(house.gateway._sharing._imports)
        sender.say(b"SUB calc 1\r\n")
        reader.say(b"PUB c inbox 0\r\n\r\n")
        reply = sender.hear().split(b" ")[3]
        house.gateway.apply_accounts((PLANT, office(A, B, CALC), AccountRules(name="third")))
        assert all(house.gateway._sharing._imports[key] is value for key, value in before.items())
        reader.hear()
        sender.say(b"PUB %b 1\r\n1\r\n" % reply)
        assert reader.hear() == b"MSG inbox 2 1\r\n1\r\n"
        sender.say(b"PUB b.x 1\r\n1\r\n")
        assert reader.hear() == b"MSG p.b.x 1 1\r\n1\r\n"


async def test_export_that_is_taken_back_ends_what_was_imported():
    async with site(PLANT, office(A, CALC)) as house:
        reader, sender = house.nats("office"), house.nats("plant")
        reader.say(b"SUB p.> 1\r\nSUB inbox 2\r\n")
        sender.say(b"SUB calc 1\r\n")
        house.gateway.apply_accounts((AccountRules(name="plant"), office()))
        sender.say(b"PUB a.x 1\r\n1\r\n")
        reader.say(b"PUB c inbox 0\r\n\r\n")
        assert sender.hear() == b""
        assert b" 503" in reader.hear()


async def test_mappings_and_limits_change():
    async with site(PLANT, office()) as house:
        peer = house.nats("office")
        peer.say(b"SUB > 1\r\n")
        house.gateway.apply_accounts((PLANT, office(mappings={"x": "y"}, max_connections=1)))
        peer.say(b"PUB x 0\r\n\r\n")
        assert peer.hear() == b"MSG y 1 0\r\n\r\n"
        assert house.nats("office").connection.close_reason is CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS
        house.gateway.apply_accounts((PLANT, office()))
        peer.say(b"PUB x 0\r\n\r\n")
        assert peer.hear() == b"MSG x 1 0\r\n\r\n"


async def test_account_that_goes_parts_with_its_clients_alone_and_may_come_back():
    async with site(PLANT, office(A)) as house:
        reader, display, sender = house.nats("office"), house.mqtt("office", b"d", 1000), house.nats("plant")
        display.subscribe(b"p/#", 1)
        sender.say(b"SUB a.> 1\r\n")
        house.gateway.apply_accounts((PLANT,))
        for gone in (reader, display):
            assert gone.connection.close_reason is CloseReason.AUTHENTICATION_FAILURE
        assert "office" not in house.gateway.accounts
        sender.say(b"PUB a.x 1\r\n1\r\n")
        assert sender.hear() == b"MSG a.x 1 1\r\n1\r\n"
        house.gateway.apply_accounts((PLANT, office(A)))
        sender.say(b"PUB a.x 1\r\n2\r\n")
        assert house.mqtt("office", b"d", 1000).messages() == [(b"p/a/x", b"2")]


async def test_new_account_has_the_subjects_of_the_gateway():
    async with site() as house:
        house.gateway.apply_accounts((AccountRules(name="new"),))
        peer = house.nats("new")
        peer.say(b"SUB inbox 1\r\nPUB $LEAFGATE.time inbox 0\r\n\r\nPUB $SYS.REQ.USER.INFO inbox 0\r\n\r\n")
        heard = peer.hear()
        assert heard.count(b"MSG inbox 1 ") == 2
        assert b'"account":"new"' in heard


async def test_system_account_and_default_one_are_always_there():
    async with site() as house:
        assert set(house.gateway.accounts) == {"$G", "$SYS"}


async def test_client_of_the_system_account_is_told_so():
    async with site() as house:
        for account, is_told in (("$SYS", True), ("$G", False)):
            peer = house.nats(account, protocol=1)
            peer.say(b"PING\r\n")
            assert (b'"acc_is_sys":true' in peer.hear()) is is_told


async def test_rules_that_nobody_checked_are_left_out_where_they_are_not_sound(caplog: pytest.LogCaptureFixture):
    bad = Import(account="plant", stream="a.>", to="elsewhere")
    unknown = Import(account="none", stream="a.>")
    async with site(PLANT) as house:
        house.gateway.apply_accounts((PLANT, office(bad, unknown, A, mappings={"x.*": "y.$2"})))
        assert "event=bad-import" in caplog.text
        assert "event=bad-mapping" in caplog.text
        reader = house.nats("office")
        reader.say(b"SUB p.> 1\r\nSUB x.> 2\r\nPUB x.y 0\r\n\r\n")
        house.nats("plant").say(b"PUB a.x 0\r\n\r\n")
        assert reader.hear() == b"MSG x.y 2 0\r\n\r\nMSG p.a.x 1 0\r\n\r\n"


async def test_services_that_call_each_other_in_a_circle_end():
    one = AccountRules(
        name="one", exports=(Export(service="s"),), imports=(Import(account="two", service="t", to="s"),)
    )
    two = AccountRules(
        name="two", exports=(Export(service="t"),), imports=(Import(account="one", service="s", to="t"),)
    )
    async with site() as house:
        house.gateway.apply_accounts((one, two))
        peer = house.nats("one")
        peer.say(b"SUB inbox 1\r\nPUB s inbox 0\r\n\r\n")
        assert b" 503" in peer.hear()
