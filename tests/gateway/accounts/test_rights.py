"""Rights at every door: what a user may not do does not happen, whichever way it is said, and the user hears of it."""

import logging
import time

import msgspec
import pytest
import trio
import trio.testing

from gateway.accounts.identity import Identity, Member
from gateway.accounts.permissions import make_permissions
from gateway.settings.security import PermissionRules
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.accounts.by_user import House, MqttPeer, house_of
from tests.gateway.memory_transport import Peer

FORBIDDEN = 0x87
# Rights of those who may not do something, and nobody's.
USERS: dict[str, dict[str, object]] = {
    "all": {},
    "sensor": {"publish": {"allow": ["sensors.>"]}, "subscribe": {"allow": ["commands.>", "_INBOX.>", "own"]}},
    "guest": {"publish": {"deny": ["door.>"]}, "subscribe": {"deny": ["secret.>", "a.no"]}},
    "service": {"allow-responses": True, "subscribe": {"allow": ["svc"]}},
    "worker": {"subscribe": {"allow": ["jobs red", "jobs.> red"]}},
}


def rights(house: House, **rules: object) -> Identity:
    permissions = make_permissions(msgspec.convert(rules, PermissionRules))
    return Identity(house.gateway.account, "somebody", permissions)


def change(peer: Peer, identity: Identity) -> bytes:
    """Give a peer other rights; returns what it is told."""
    session = peer.connection.session
    assert isinstance(session, Member)
    session.identity_changed(identity)
    return peer.hear()


def violation(what: str) -> bytes:
    return f"-ERR 'Permissions Violation for {what}'\r\n".encode()


# NATS.


async def test_what_comes_with_the_connect_in_one_batch_is_judged():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB > 1\r\n")
        peer = house.stranger()
        peer.hear()
        connect = b'CONNECT {"user":"sensor","verbose":false,"pedantic":false}\r\n'
        peer.say(connect + b"PUB no 1\r\n1\r\n" * 3 + b"PUB sensors.a 1\r\n1\r\nSUB no 1\r\n")
        assert peer.hear() == violation('Publish to "no"') * 3 + violation('Subscription to "no"')
        assert watcher.hear() == b"MSG sensors.a 1 1\r\n1\r\n"


async def test_subscriptions_of_one_user_do_not_stay_with_the_next():
    async with house_of(USERS) as house:
        peer = house.nats("all")
        peer.say(b'SUB no 1\r\nCONNECT {"user":"sensor"}\r\n')
        house.nats("all").say(b"PUB no 1\r\n1\r\n")
        assert peer.hear() == b""


async def test_many_subjects_over_a_denied_one_are_filtered_each():
    async with house_of(USERS) as house:
        guest, other = house.nats("guest"), house.nats("all")
        guest.say(b"SUB > 1\r\nSUB a.* q 2\r\n")
        for _ in range(5):
            for name in (b"secret.x", b"secret.y", b"a.no", b"a.yes", b"b"):
                other.say(b"PUB %b 1\r\n1\r\n" % name)
        heard = guest.hear()
        assert heard.count(b"MSG a.yes 1 ") == heard.count(b"MSG a.yes 2 ") == heard.count(b"MSG b 1 ") == 5
        assert heard.count(b"MSG ") == 15


async def test_subscription_that_overlaps_with_what_is_denied_is_filtered():
    async with house_of({"all": {}, "part": {"subscribe": {"deny": ["o.*.c"]}}}) as house:
        part = house.nats("part")
        part.say(b"SUB o.x.* 1\r\n")
        house.nats("all").say(b"PUB o.x.c 1\r\n1\r\nPUB o.x.d 1\r\n1\r\n")
        assert part.hear() == b"MSG o.x.d 1 1\r\n1\r\n"


@pytest.mark.parametrize(
    "subject", [b"$LEAFGATE.publish.secret.x", b"_MQTT5.id.Yw.secret.x", b"_MQTT5.i._._MQTT5.i._.a.no"]
)
async def test_what_is_on_its_way_to_a_denied_subject_is_denied(subject: bytes):
    async with house_of(USERS) as house:
        guest, asker, sender = house.nats("guest"), house.mqtt("guest"), house.nats("all")
        prefix = subject.partition(b".")[0]
        guest.say(b"SUB %b 1\r\n" % subject)
        assert guest.hear() == violation(f'Subscription to "{subject.decode()}"')
        for sid, wanted in enumerate((prefix + b".>", b">", b"*.>")):
            guest.say(b"SUB %b %d\r\nSUB %b %d0 group\r\n" % (wanted, sid, wanted, sid + 1))
        assert asker.subscribe(prefix + b"/#", b"#", b"$share/g/" + prefix + b"/#") == [0, 0, 0]
        for _ in range(3):
            sender.say(b"PUB %b 1\r\n1\r\n" % subject)
            sender.say(b"PUB %b 1\r\n1\r\n" % subject * 3)
        assert guest.hear() == b""
        assert asker.messages() == []
        sender.say(b"PUB %b 1\r\n1\r\n" % subject.replace(b"secret.x", b"open").replace(b"a.no", b"open"))
        assert b" 0 1\r\n1\r\n" in guest.hear()


async def test_violations_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture):
    async with house_of(USERS) as house:
        peer = house.nats("guest")
        with caplog.at_level(logging.WARNING):
            peer.say(b"PUB door.open 1\r\n1\r\n" * 100)
        lines = [one.getMessage() for one in caplog.records if "not-permitted" in one.getMessage()]
        assert len(lines) == 1
        assert "guest" in lines[0]
        assert "door.open" in lines[0]


async def test_presence_on_a_denied_subject_is_refused():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB door.> 1\r\nSUB sheds.> 2\r\n")
        peer = house.stranger()
        peer.hear()
        peer.say(b'CONNECT {"user":"guest","verbose":false,"presence":"door.one"}\r\n')
        assert peer.hear() == violation('Publish to "door.one"')
        peer.leave()
        assert watcher.hear() == b""
        house.nats("guest", presence="sheds.one")
        assert b"online" in watcher.hear()


# Rights that change.


async def test_lost_subscriptions_are_taken_back_and_told():
    async with house_of(USERS) as house:
        peer, other = house.nats("all"), house.nats("all")
        peer.say(b"SUB a 1\r\nSUB a g 2\r\nSUB b 3\r\nSUB c.> 4\r\n")
        told = change(peer, rights(house, subscribe={"deny": ["a", "c.no"]}))
        assert told == violation('Subscription to "a" (sid "1")') + violation(
            'Subscription to "a" using queue "g" (sid "2")'
        )
        other.say(b"PUB a 1\r\n1\r\nPUB b 1\r\n1\r\nPUB c.no 1\r\n1\r\nPUB c.yes 1\r\n1\r\n")
        assert peer.hear() == b"MSG b 3 1\r\n1\r\nMSG c.yes 4 1\r\n1\r\n"
        assert change(peer, rights(house)) == b""
        other.say(b"PUB c.no 1\r\n1\r\n")
        assert peer.hear() == b"MSG c.no 4 1\r\n1\r\n"
        peer.say(b"SUB a 5\r\nPUB a 1\r\n1\r\n")
        assert peer.hear() == b"MSG a 5 1\r\n1\r\n"


async def test_routes_that_are_remembered_follow_the_rights():
    async with house_of(USERS) as house:
        peer, other = house.nats("all"), house.nats("all")
        peer.say(b"SUB c.> 4\r\n")
        for _ in range(5):
            other.say(b"PUB c.no 1\r\n1\r\n")
        assert peer.hear().count(b"MSG") == 5
        for rules, count in (({"subscribe": {"deny": ["c.no"]}}, 0), ({}, 5), ({"subscribe": {"deny": ["*.no"]}}, 0)):
            assert change(peer, rights(house, **rules)) == b""
            for _ in range(5):
                other.say(b"PUB c.no 1\r\n1\r\n")
            assert peer.hear().count(b"MSG") == count


async def test_publish_rights_are_the_new_ones_at_once():
    async with house_of(USERS) as house:
        peer = house.nats("all")
        peer.say(b"SUB > 1\r\n" + b"PUB a 1\r\n1\r\n" * 5)
        assert peer.hear().count(b"MSG") == 5
        assert change(peer, rights(house, publish={"deny": ["a"]})) == b""
        peer.say(b"PUB a 1\r\n1\r\nPUB b 1\r\n1\r\n")
        assert peer.hear() == violation('Publish to "a"') + b"MSG b 1 1\r\n1\r\n"
        change(peer, rights(house))
        peer.say(b"PUB a 1\r\n1\r\n")
        assert peer.hear() == b"MSG a 1 1\r\n1\r\n"


async def test_presence_that_is_not_permitted_any_more_is_over():
    async with house_of(USERS) as house:
        watcher, peer = house.nats("all"), house.nats("all", presence="sheds.one")
        watcher.say(b"SUB sheds.> 1\r\n")
        assert change(peer, rights(house, publish={"allow": ["a"]})) == violation('Publish to "sheds.one"')
        assert b"offline" in watcher.hear()


async def turns_over(house: House) -> None:
    """Return when nothing waits for its turn."""
    while house.gateway.runtime.turns:
        await trio.lowlevel.checkpoint()


async def test_many_subscriptions_are_looked_at_in_turns():
    async with house_of(USERS) as house:
        house.gateway.runtime.turns.clock = time.perf_counter
        peer = house.nats("all")
        for first in range(0, 20_000, 200):
            peer.say(b"".join(b"SUB no.%d %d\r\n" % (number, number) for number in range(first, first + 200)))
            await turns_over(house)
        peer.connection.session.identity_changed(rights(house, subscribe={"deny": ["no.>"]}))  # type: ignore[attr-defined]
        assert house.gateway.runtime.turns
        await turns_over(house)
        assert peer.hear().count(b"Permissions Violation for Subscription") == 20_000
        assert house.gateway.account.router.tree.count == 3  # The gateway's own services.


async def test_peer_whose_user_went_to_another_account_is_closed():
    async with house_of(USERS) as house:
        other = Identity(house.gateway.open_account("other"), "all")
        nats, mqtt = house.nats("all"), house.mqtt("all")
        mqtt.packets()
        for peer in (nats, mqtt):
            change(peer, other)
            assert peer.connection.close_reason is CloseReason.CREDENTIALS_REVOKED


async def test_mqtt_subscriptions_and_publishes_follow_the_rights(caplog: pytest.LogCaptureFixture):
    async with house_of(USERS) as house:
        peer, other = house.mqtt("all", client_id=b"peer"), house.nats("all")
        assert peer.subscribe(b"a", b"b", b"c/#", b"$share/g/a") == [0, 0, 0, 0]
        with caplog.at_level(logging.WARNING):
            change(peer, rights(house, publish={"deny": ["a"]}, subscribe={"deny": ["a", "c.no"]}))
        assert "event=subscription-over client-id='peer'" in caplog.text
        other.say(b"PUB a 1\r\n1\r\nPUB b 1\r\n1\r\nPUB c.no 1\r\n1\r\nPUB c.yes 1\r\n1\r\nPUB c 1\r\n1\r\n")
        assert peer.messages() == [(b"b", b"1"), (b"c/yes", b"1"), (b"c", b"1")]
        other.say(b"SUB a 1\r\n")
        peer.publish(b"a")
        assert other.hear() == b""
        change(peer, rights(house))
        peer.publish(b"a")
        other.say(b"PUB c.no 1\r\n1\r\n")
        assert other.hear() == b"MSG a 1 1\r\nx\r\n"
        assert peer.messages() == [(b"c/no", b"1")]


# MQTT: publishing.


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("retain", [False, True])
async def test_denied_mqtt_messages_reach_nobody(version: int, retain: bool):
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB > 1\r\n")
        guest = house.mqtt("guest", version)
        guest.packets()
        for qos in (0, 1, 2):
            guest.publish(b"door/open", qos=qos, retain=retain, packet_id=7)
        answers = guest.packets()
        five = version == MQTT_5_0
        assert answers == [
            packets.Puback(7, FORBIDDEN if five else 0, answers[0].properties),  # type: ignore[attr-defined]
            packets.Pubrec(7, FORBIDDEN if five else 0, answers[1].properties),  # type: ignore[attr-defined]
        ]
        assert watcher.hear() == b""
        assert len(house.gateway.account.retained) == 0
        if not five:
            guest.say(encoder.encode_pubrel(version, 7))
            assert guest.packets() == [packets.Pubcomp(7)]
        guest.publish(b"garden/open", qos=1)
        assert watcher.hear() == b"MSG garden.open 1 1\r\nx\r\n"
        assert guest.connection.close_reason is None


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_denied_among_mqtt_messages_in_a_row(version: int, qos: int, caplog: pytest.LogCaptureFixture):
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB > 1\r\n")
        guest = house.mqtt("guest", version)
        guest.packets()
        topics = [b"a", b"a", b"door/x", b"door/x", b"b", b"door/x", b"a"]
        with caplog.at_level(logging.WARNING):
            guest.say(
                b"".join(
                    encoder.encode_publish(version, topic, b"x", qos, number if qos else 0, False, False)
                    for number, topic in enumerate(topics, 1)
                )
            )
        assert [line.split(b" ")[1] for line in watcher.hear().split(b"\r\n") if line.startswith(b"MSG")] == [
            b"a",
            b"a",
            b"b",
            b"a",
        ]
        answers = [(one.packet_id, one.reason_code) for one in guest.packets()]  # type: ignore[attr-defined]
        codes = [FORBIDDEN if topic == b"door/x" and version == MQTT_5_0 else 0 for topic in topics]
        assert answers == (list(enumerate(codes, 1)) if qos else [])
        assert caplog.text.count("event=not-permitted") == 1


async def test_mqtt_messages_that_come_with_the_connect_are_judged():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB > 1\r\n")
        batch = b"".join(
            encoder.encode_publish(MQTT_5_0, topic, b"x", qos, qos, False, False)
            for topic in (b"door/x", b"garden/x")
            for qos in (0, 1)
        )
        house.mqtt("guest", rest=batch + encoder.encode_subscribe(MQTT_5_0, 9, [packets.Subscription(b"a/no", 0)]))
        assert watcher.hear() == b"MSG garden.x 1 1\r\nx\r\n" * 2


async def test_topic_alias_of_a_denied_topic_is_judged():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB > 1\r\n")
        guest = house.mqtt("guest")
        guest.packets()
        guest.publish(b"door/x", qos=1, properties=Properties(topic_alias=1))
        guest.publish(b"", qos=1, properties=Properties(topic_alias=1), packet_id=2)
        assert [one.reason_code for one in guest.packets()] == [FORBIDDEN] * 2  # type: ignore[attr-defined]
        assert watcher.hear() == b""


# MQTT: subscribing.


@pytest.mark.parametrize(("version", "denied"), [(MQTT_3_1_1, 0x80), (MQTT_5_0, FORBIDDEN)])
async def test_each_filter_of_a_subscribe_is_judged(version: int, denied: int):
    async with house_of(USERS) as house:
        sensor = house.mqtt("sensor", version)
        wanted = {
            b"commands/#": 0,
            b"commands/a/+": 0,
            b"#": denied,
            b"commands": denied,
            b"own": 0,
            b"$share/any/own": 0,
            b"$share/any/other": denied,
            b"own/#": denied,
        }
        assert sensor.subscribe(*wanted) == list(wanted.values())
        other = house.nats("all")
        other.say(b"PUB commands 1\r\n1\r\nPUB commands.a 1\r\n2\r\nPUB other 1\r\n3\r\n")
        assert sensor.messages() == [(b"commands/a", b"2")]


async def test_shared_subscription_is_a_queue_group_of_the_rules():
    async with house_of(USERS) as house:
        worker = house.mqtt("worker")
        assert worker.subscribe(b"$share/red/jobs", b"$share/blue/jobs", b"jobs", b"$share/red/jobs/#") == [
            0,
            FORBIDDEN,
            FORBIDDEN,
            0,
        ]
        house.nats("all").say(b"PUB jobs.a 1\r\n1\r\n")
        assert worker.messages() == [(b"jobs/a", b"1")]


@pytest.mark.parametrize("qos", [0, 1])
async def test_broad_filter_gets_neither_live_nor_retained_messages_that_are_denied(qos: int):
    async with house_of(USERS) as house:
        writer = house.mqtt("all", client_id=b"writer")
        for topic in (b"secret/a", b"a/no", b"a/yes", b"b"):
            writer.publish(topic, b"kept", 1, retain=True)
        guest = house.mqtt("guest")
        assert guest.subscribe(b"#", b"a/+", qos=qos) == [qos, qos]
        kept = set(guest.after_answer + guest.messages())
        assert kept == {(b"a/yes", b"kept"), (b"b", b"kept")}
        for topic in (b"secret/a", b"a/no", b"a/yes", b"b"):
            writer.publish(topic, b"live", 1)
        assert guest.messages() == [(b"a/yes", b"live"), (b"b", b"live")]


async def test_denied_subscriber_gets_no_retained_message():
    async with house_of(USERS) as house:
        house.mqtt("all", client_id=b"writer").publish(b"secret/a", b"kept", 1, retain=True)
        guest = house.mqtt("guest")
        assert guest.subscribe(b"secret/a", b"secret/#") == [FORBIDDEN, FORBIDDEN]
        assert guest.after_answer + guest.messages() == []


async def test_messages_that_waited_are_held_back_when_the_right_is_gone():
    async with house_of(USERS) as house:
        away = house.mqtt("all", client_id=b"away")
        away.subscribe(b"#", qos=2)
        away.leave()
        writer = house.mqtt("all", client_id=b"writer")
        for number, topic in enumerate((b"secret/a", b"a/yes", b"secret/b", b"b"), 1):
            writer.publish(topic, b"x", 1, packet_id=number)
        assert len(writer.packets()) == 5
        house.admission.rules["all"] = house.admission.rules["guest"]
        back = house.mqtt("all", client_id=b"away")
        assert back.messages() == [(b"a/yes", b"x"), (b"b", b"x")]


async def test_subscriptions_of_a_session_are_judged_when_its_client_is_back():
    async with house_of(USERS) as house:
        away = house.mqtt("all", client_id=b"away")
        away.subscribe(b"secret/a", b"b", qos=1)
        away.leave()
        writer = house.nats("all")
        house.admission.rules["all"] = house.admission.rules["guest"]
        back = house.mqtt("all", client_id=b"away")
        back.packets()
        writer.say(b"PUB secret.a 1\r\n1\r\nPUB b 1\r\n1\r\n")
        assert back.messages() == [(b"b", b"1")]


# MQTT: wills.


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_will_on_a_denied_topic_is_refused(version: int):
    async with house_of(USERS) as house:
        guest = house.mqtt("guest", version, will=packets.Will(b"door/open", b"now"))
        (answer,) = guest.packets()
        assert isinstance(answer, packets.Connack)
        assert answer.reason_code == FORBIDDEN
        assert guest.connection.close_reason is not None
        assert house.mqtt("guest", version, will=packets.Will(b"gone", b"now")).connection.close_reason is None


async def test_will_that_may_not_be_said_any_more_is_not_said():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB wills.> 1\r\n")
        for name, rules in ((b"one", {}), (b"two", {"publish": {"deny": ["wills.>"]}})):
            peer = house.mqtt("all", client_id=name, will=packets.Will(b"wills/" + name, b"gone"))
            change(peer, rights(house, **rules))
            peer.leave()
        assert watcher.hear() == b"MSG wills.one 1 4\r\ngone\r\n"


# Requests and answers.


def request(asker: MqttPeer, correlation: bytes | None) -> None:
    properties = Properties(response_topic=b"in/1", correlation_data=correlation)
    asker.publish(b"svc", b"?", properties=properties)


@pytest.mark.parametrize("correlation", [None, b"\x01\x02"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_mqtt_service_answers_an_mqtt_request_once(correlation: bytes | None, qos: int):
    async with house_of(USERS) as house:
        service, asker = house.mqtt("service"), house.mqtt("all", client_id=b"asker")
        service.subscribe(b"svc", qos=1)
        asker.subscribe(b"in/1")
        properties = Properties(response_topic=b"in/1", correlation_data=correlation)
        asker.publish(b"svc", b"?", qos, properties=properties)
        asker.packets()
        (asked,) = [one for one in service.packets() if isinstance(one, Publish)]
        assert asked.properties is not None
        assert asked.properties.response_topic == b"in/1"
        back = Properties(correlation_data=asked.properties.correlation_data)
        for payload in (b"1", b"2"):
            service.publish(b"in/1", payload, qos, properties=back)
        service.publish(b"in/2", b"3", qos)
        assert asker.messages() == [(b"in/1", b"1")]
        codes = [getattr(one, "reason_code", None) for one in service.packets()]
        assert codes == ([0, FORBIDDEN, FORBIDDEN] if qos else [])


@pytest.mark.parametrize("correlation", [None, b"\x01\x02"])
async def test_nats_service_answers_an_mqtt_request_once(correlation: bytes | None):
    async with house_of(USERS) as house:
        service, asker = house.nats("service"), house.mqtt("all", client_id=b"asker")
        service.say(b"SUB svc 1\r\n")
        asker.subscribe(b"in/1")
        request(asker, correlation)
        reply = service.hear().split(b" ")[3]
        service.say(b"PUB %b 1\r\n1\r\nPUB %b 1\r\n2\r\n" % (reply, reply))
        assert asker.messages() == [(b"in/1", b"1")]
        assert service.hear() == violation(f'Publish to "{reply.decode()}"')


async def test_reply_subject_that_holds_a_denied_topic_leads_nowhere():
    async with house_of(USERS) as house:
        asker, watcher, guest = house.mqtt("all"), house.nats("all"), house.nats("guest")
        watcher.say(b"SUB svc 1\r\nSUB door.> 2\r\n")
        asker.publish(b"svc", properties=Properties(response_topic=b"in/1", correlation_data=b"\x01"))
        reply = watcher.hear().split(b" ")[3].replace(b"in.1", b"door.open")
        guest.say(b"PUB %b 1\r\n1\r\n" % reply)
        assert guest.hear() == violation(f'Publish to "{reply.decode()}"')
        assert watcher.hear() == b""


# What the gateway answers itself.


async def test_acknowledged_publish_needs_the_right_to_publish_there():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB sensors.> 1\r\nSUB door.> 2\r\n")
        sensor = house.nats("sensor")
        sensor.say(b"SUB _INBOX.> 9\r\nPUB $LEAFGATE.publish.sensors.a _INBOX.1 1\r\n1\r\n")
        assert b'{"seq":1}' in sensor.hear()
        sensor.say(b"PUB $LEAFGATE.publish.door.x _INBOX.1 1\r\n1\r\n")
        assert b'"code":403' in sensor.hear()
        assert watcher.hear() == b"MSG sensors.a 1 1\r\n1\r\n"


async def test_nobody_makes_a_repeat_of_what_another_user_publishes():
    async with house_of(USERS) as house:
        watcher = house.nats("all")
        watcher.say(b"SUB sensors.> 1\r\n")
        ask = b"SUB own 1\r\nHPUB $LEAFGATE.publish.%b own 28 29\r\nNATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n1\r\n"
        for user, subject, repeated in (
            ("guest", b"x", False),
            ("sensor", b"sensors.a", False),
            ("sensor", b"sensors.a", True),
        ):
            peer = house.nats(user)
            peer.say(ask % subject)
            assert (b"duplicate" in peer.hear()) is repeated
        assert watcher.hear().count(b"MSG") == 1


async def test_retained_messages_are_told_to_those_who_may_have_them():
    async with house_of(USERS) as house:
        writer = house.mqtt("all")
        for topic in (b"secret/a", b"a/no", b"a/yes", b"own", b"commands/x"):
            writer.publish(topic, b"kept", 1, retain=True)
        for user, wanted in (("guest", {"a.yes", "own", "commands.x"}), ("sensor", {"own", "commands.x"})):
            asker = house.nats(user)
            asker.say(b"SUB _INBOX.> 9\r\nPUB $LEAFGATE.retained.get _INBOX.1 0\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked()
            lines = asker.hear().decode().split("\r\n")
            told = {line.partition(": ")[2] for line in lines if line.startswith("Mqtt-Retained-Subject")}
            assert told == wanted


@pytest.mark.parametrize("service", [b"$LEAFGATE.time", b"$LEAFGATE.publish.sensors.a", b"$LEAFGATE.retained.get"])
async def test_nobody_has_the_gateway_publish_where_it_may_not_itself(service: bytes):
    async with house_of(USERS) as house:
        house.mqtt("all").publish(b"own", b"kept", 1, retain=True)
        watcher, sensor = house.nats("all"), house.nats("sensor")
        watcher.say(b"SUB own 1\r\nSUB commands.> 2\r\nSUB _INBOX.> 3\r\n")
        for reply in (b"own", b"commands.open", b"_INBOX.1"):
            sensor.say(b"PUB %b %b 0\r\n\r\n" % (service, reply))
        await trio.testing.wait_all_tasks_blocked()
        assert watcher.hear() == b""


@pytest.mark.parametrize("correlation", [None, b"\x01"])
async def test_mqtt_client_without_the_right_to_publish_on_its_response_topic_is_answered(correlation: bytes | None):
    async with house_of(USERS) as house:
        sensor = house.mqtt("sensor")
        assert sensor.subscribe(b"_INBOX/1") == [0]
        properties = Properties(response_topic=b"_INBOX/1", correlation_data=correlation)
        sensor.publish(b"$LEAFGATE/time", b"", properties=properties)
        (answer,) = [one for one in sensor.packets() if isinstance(one, Publish)]
        assert answer.topic == b"_INBOX/1"
        assert (answer.properties.correlation_data if answer.properties else None) == correlation
