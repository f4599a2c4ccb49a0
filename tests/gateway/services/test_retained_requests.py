"""Retained messages for NATS clients: what a request gets, and what it leaves behind."""

import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.services.retained_requests import MOST_REQUESTS, SLICE, SUBJECT, retained_header
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import running_gateway

RETAIN = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
INBOX = b"_INBOX.1"


def keep(gateway: Gateway, subject: bytes, payload: bytes, header: bytes = RETAIN) -> None:
    gateway.account.router.publish(make_message(subject, payload, b"", header), gateway.account.port)


def ask(gateway: Gateway, subject_filter: bytes) -> ClientPort:
    port = ClientPort(gateway.runtime.switch)
    gateway.account.router.subscribe(NatsSubscription(port, INBOX, b"", b"1"))
    gateway.account.router.publish(make_message(SUBJECT, subject_filter, INBOX), gateway.account.port)
    return port


async def test_each_message_comes_with_its_subject_and_a_last_one_behind(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        keep(gateway, b"a.b", b"1")
        keep(gateway, b"a.c", b"2", b"NATS/1.0\r\nMqtt-Retain: 1\r\nUnit: C\r\n\r\n")
        keep(gateway, b"z", b"3")
        port = ask(gateway, b"a.>")
        await trio.sleep(1)
        answers = port.take()
        assert b"Mqtt-Retained-Subject: a.b\r\n\r\n1\r\n" in answers
        assert b"Mqtt-Retained-Subject: a.c\r\nUnit: C\r\n\r\n2\r\n" in answers
        assert b"Mqtt-Retained-Subject: z" not in answers
        assert answers.endswith(b"NATS/1.0 204 EOB\r\n\r\n\r\n")


async def test_replies_are_not_retained_themselves(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        keep(gateway, b"a", b"1")
        ask(gateway, b"")
        await trio.sleep(1)
        assert len(gateway.account.retained) == 1


async def test_nothing_found_bad_filter_and_many_slices(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        for number in range(2 * SLICE + 1):
            keep(gateway, b"a.%d" % number, b"1")
        for subject_filter, end in [(b"none", b"404 No Messages"), (b"a..b", b"400 Invalid"), (b"a b", b"400 Invalid")]:
            port = ask(gateway, subject_filter)
            await trio.sleep(1)
            assert end in port.take()
        port = ask(gateway, b"a.*")
        await trio.sleep(1)
        assert port.take().count(b"Mqtt-Retained-Subject") == 2 * SLICE + 1


async def test_too_many_requests_at_a_time_are_turned_away(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        keep(gateway, b"a", b"1")
        ports = [ask(gateway, b">") for _ in range(MOST_REQUESTS + 1)]
        assert b"429 Too Many Requests" in ports[-1].take()
        await trio.sleep(1)
        later = ask(gateway, b">")
        await trio.sleep(1)
        assert b"204 EOB" in later.take()


def test_header_of_a_reply():
    message = make_message(b"a.b", b"1", b"", RETAIN)
    assert retained_header(message) == b"NATS/1.0\r\nMqtt-Retained-Subject: a.b\r\n\r\n"
    assert retained_header(make_message(b"a", b"1")) == b"NATS/1.0\r\nMqtt-Retained-Subject: a\r\n\r\n"
