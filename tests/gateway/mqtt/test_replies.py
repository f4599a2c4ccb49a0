"""Answers to MQTT requests with correlation data, from responders that know nothing of MQTT."""

import pytest

from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.mqtt.replies import MOST_NESTED
from protocols.message import make_message
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer


async def test_answer_of_a_nats_responder_carries_the_correlation_data_of_the_request():
    async with running_gateway() as gateway:
        device = Peer(gateway)
        device.subscribe(b"answers", 1)
        responder = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(NatsSubscription(responder, b"ask", b"", b"1"))
        device.publish(b"ask", b"?", 1, response_topic=b"answers", correlation_data=b"\0\1")
        reply = responder.take().split(b" ")[3]
        device.hear()
        gateway.account.router.publish(make_message(reply, b"42"), responder)
        (answer,) = device.hear()
        assert isinstance(answer, Publish)
        assert (answer.topic, answer.payload) == (b"answers", b"42")
        assert answer.properties == Properties(correlation_data=b"\0\1")


@pytest.mark.parametrize(("times", "count"), [(1, 1), (MOST_NESTED, 1), (MOST_NESTED + 1, 0), (1000, 0)])
async def test_reply_subject_within_reply_subjects_goes_only_so_deep(times: int, count: int):
    async with running_gateway() as gateway:
        gateway.mqtt_sessions.of(gateway.account).expect_replies()
        listener = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(NatsSubscription(listener, b"end", b"", b"1"))
        subject = b"_MQTT5.%b._." % gateway.runtime.names.gateway_id * times + b"end"
        gateway.account.router.publish(make_message(subject, b"1"), gateway.account.port)
        assert listener.take().count(b"MSG end") == count


async def test_subject_that_only_looks_like_a_reply_subject_is_left_alone():
    async with running_gateway() as gateway:
        gateway.mqtt_sessions.of(gateway.account).expect_replies()
        for rest in (b"!.a", b"_"):
            subject = b"_MQTT5.%b.%b" % (gateway.runtime.names.gateway_id, rest)
            assert gateway.account.router.publish(make_message(subject, b"1"), gateway.account.port) == 0
