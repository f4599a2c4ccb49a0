import pytest

from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from protocols.message import make_message
from protocols.nats.server import ServerDecoder
from tests.gateway.dataplane.places import ClientPort, LinkPort

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
PLAIN = b"PUB foo.bar 2\r\nhi\r\n"
WITH_HEADER = b"HPUB foo.bar 18 20\r\n" + HEADER + b"hi\r\n"


def send(router: Router, data: bytes, source: Port | None = None) -> None:
    decoder = ServerDecoder(100_000, 4096)
    decoder.headers = True
    events = decoder.receive(data)
    assert router.forward(events, 0, source or Port(None)) == len(events)


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def client(router: Router) -> ClientPort:
    port = ClientPort(Switch())
    router.subscribe(port.subscription(b"foo.*", sid=b"7"))
    return port


@pytest.fixture
def hub(router: Router) -> LinkPort:
    port = LinkPort(Switch())
    router.subscribe(port.interest(b"foo.*"))
    return port


@pytest.mark.parametrize("copies", [1, 3])
def test_client_gets_messages_with_its_sid(router: Router, client: ClientPort, copies: int):
    send(router, PLAIN * copies)
    assert client.take() == b"MSG foo.bar 7 2\r\nhi\r\n" * copies
    send(router, b"PUB foo.bar to.me 2\r\nhi\r\n" * copies)
    assert client.take() == b"MSG foo.bar 7 to.me 2\r\nhi\r\n" * copies


@pytest.mark.parametrize("copies", [1, 3])
def test_client_that_knows_headers_gets_them(router: Router, client: ClientPort, copies: int):
    send(router, WITH_HEADER * copies)
    assert client.take() == (b"HMSG foo.bar 7 18 20\r\n" + HEADER + b"hi\r\n") * copies
    assert client.outbox is not None
    assert (client.outbox.out_messages, client.outbox.out_bytes) == (copies, 20 * copies)


@pytest.mark.parametrize("copies", [1, 3])
def test_client_that_knows_no_headers_gets_the_payload_alone(router: Router, client: ClientPort, copies: int):
    client.headers = False
    send(router, WITH_HEADER * copies)
    assert client.take() == b"MSG foo.bar 7 2\r\nhi\r\n" * copies
    assert client.outbox is not None
    assert (client.outbox.out_messages, client.outbox.out_bytes) == (copies, 2 * copies)


def test_head_follows_the_subject_of_a_wildcard_subscription(router: Router, client: ClientPort):
    for subject in (b"foo.a", b"foo.bb", b"foo.a", b"foo.*"):
        send(router, b"PUB %b 0\r\n\r\n" % subject)
        assert client.take() == b"MSG %b 7 0\r\n\r\n" % subject


@pytest.mark.parametrize("copies", [1, 2, 30])
@pytest.mark.parametrize("size", [0, 1, 5000, 70_000])
def test_payloads_of_any_size_reach_all_kinds_of_receivers(router: Router, hub: LinkPort, size: int, copies: int):
    hub.max_payload = 100_000
    clients = [ClientPort(Switch()) for _ in range(3)]
    clients[1].headers = False
    for sid, client in enumerate(clients):
        router.subscribe(client.subscription(b"foo.*", sid=b"%d" % sid))
    payloads = [bytes([number]) * size for number in range(copies)]
    send(router, b"".join(b"PUB foo.bar %d\r\n%b\r\n" % (size, payload) for payload in payloads))
    for head, port in ((b"MSG foo.bar 0", clients[0]), (b"MSG foo.bar 1", clients[1]), (b"LMSG foo.bar", hub)):
        assert port.take() == b"".join(b"%b %d\r\n%b\r\n" % (head, size, payload) for payload in payloads)
    send(
        router,
        b"".join(b"HPUB foo.bar 18 %d\r\n%b%b\r\n" % (size + 18, HEADER, payload) for payload in payloads),
    )
    body = [HEADER + payload for payload in payloads]
    for head, port in ((b"HMSG foo.bar 0", clients[0]), (b"HMSG foo.bar", hub)):
        assert port.take() == b"".join(b"%b 18 %d\r\n%b\r\n" % (head, size + 18, one) for one in body)
    assert clients[1].take() == b"".join(b"MSG foo.bar 1 %d\r\n%b\r\n" % (size, payload) for payload in payloads)


@pytest.mark.parametrize("copies", [1, 3])
def test_closed_outbox_takes_nothing(router: Router, client: ClientPort, hub: LinkPort, copies: int):
    for port in (client, hub):
        assert port.outbox is not None
        port.outbox.close()
    source = ClientPort(Switch())
    send(router, PLAIN * copies + b"PUB foo.bar to.me 2\r\nhi\r\n", source)
    for port in (client, hub):
        assert port.take() == b""
        assert port.outbox is not None
        assert port.outbox.out_messages == 0
    assert source.unanswered == [b"foo.bar"]


@pytest.mark.parametrize("copies", [1, 3])
def test_link_gets_messages_without_sid(router: Router, hub: LinkPort, copies: int):
    send(router, PLAIN * copies)
    assert hub.take() == b"LMSG foo.bar 2\r\nhi\r\n" * copies
    send(router, WITH_HEADER * copies)
    assert hub.take() == (b"HMSG foo.bar 18 20\r\n" + HEADER + b"hi\r\n") * copies


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (PLAIN, b"LMSG foo.bar | q r 2\r\nhi\r\n"),
        (b"PUB foo.bar to.me 2\r\nhi\r\n", b"LMSG foo.bar + to.me q r 2\r\nhi\r\n"),
        (WITH_HEADER, b"HMSG foo.bar | q r 18 20\r\n" + HEADER + b"hi\r\n"),
        (
            b"HPUB foo.bar to.me 18 20\r\n" + HEADER + b"hi\r\n",
            b"HMSG foo.bar + to.me q r 18 20\r\n" + HEADER + b"hi\r\n",
        ),
    ],
)
def test_link_names_the_groups_that_the_hub_shall_serve(router: Router, data: bytes, wire: bytes, copies: int):
    hub = LinkPort(Switch())
    for queue in (b"q", b"r"):
        router.subscribe(hub.interest(b"foo.bar", queue))
    send(router, data * copies)
    assert hub.take() == wire * copies


@pytest.mark.parametrize("copies", [1, 3])
def test_link_passes_on_only_what_the_hub_permits(router: Router, hub: LinkPort, copies: int):
    hub.max_payload = 1
    send(router, PLAIN * copies)
    hub.max_payload, hub.may_send = 1000, False
    router.forget(b"foo.*")
    send(router, PLAIN * copies)
    assert hub.take() == b""
    hub.may_send = True
    router.forget(b"foo.*")
    send(router, PLAIN * copies)
    assert hub.take() == b"LMSG foo.bar 2\r\nhi\r\n" * copies


def test_message_made_here_gets_its_tail_once_for_all(router: Router, client: ClientPort, hub: LinkPort):
    message = make_message(b"foo.bar", b"hi", b"to.me", HEADER)
    router.publish(message, Port(None))
    assert client.take() == b"HMSG foo.bar 7 to.me 18 20\r\n" + HEADER + b"hi\r\n"
    assert hub.take() == b"HMSG foo.bar to.me 18 20\r\n" + HEADER + b"hi\r\n"
