"""The time for those who ask: what the answer looks like, and who gets none."""

from gateway.services.time_requests import SUBJECT, TimeRequests
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort, LinkPort
from tests.gateway.memory_connection import running_gateway

INBOX = b"_INBOX.1"
NANOSECONDS = 1_767_225_600_004_217_000


async def test_answer_is_seconds_and_nanoseconds():
    async with running_gateway() as gateway:
        router = gateway.account.router
        router.subscribe(TimeRequests(gateway.account, lambda: NANOSECONDS))
        device = ClientPort(gateway.runtime.switch)
        router.subscribe(device.subscription(INBOX))
        for payload in (b"", b"whatever"):
            assert router.publish(make_message(SUBJECT, payload, INBOX), device) == 1
            assert device.take() == b"MSG _INBOX.1 1 20\r\n1767225600 004217000\r\n"


async def test_message_that_is_no_request_and_one_from_a_hub_get_no_answer():
    async with running_gateway() as gateway:
        router = gateway.account.router
        router.subscribe(TimeRequests(gateway.account, lambda: NANOSECONDS))
        device, hub = ClientPort(gateway.runtime.switch), LinkPort(gateway.runtime.switch)
        router.subscribe(device.subscription(INBOX))
        assert router.publish(make_message(SUBJECT, b""), device) == 0
        assert router.publish(make_message(SUBJECT, b"", INBOX), hub) == 0
        assert device.take() == b""


async def test_gateway_offers_the_time():
    async with running_gateway() as gateway:
        gateway.offer_services()
        device = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(device.subscription(INBOX))
        assert gateway.account.router.publish(make_message(SUBJECT, b"", INBOX), device) == 1
        assert device.take().startswith(b"MSG _INBOX.1 1 20\r\n")
