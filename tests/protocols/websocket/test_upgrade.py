"""The upgrade request: what is accepted, what is refused, and with which answer."""

from ipaddress import ip_address, ip_network
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.websocket.codec import WebSocketServerCodec
from protocols.websocket.upgrade import Acceptance, Upgraded, UpgradePolicy, UpgradeReader

ALL = frozenset(("nats", "mqtt", "leafnode"))
LIMIT = 1024
ANYONE = UpgradePolicy()
FIELDS = {
    "Host": "gateway.local:8080",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(target: str = "/", method: str = "GET", version: str = "1.1", **changes: str | None) -> bytes:
    """A good request with changed fields; None leaves a field out, `_` stands for `-`."""
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


def read(data: bytes, policy: UpgradePolicy = ANYONE, protocols: frozenset = ALL) -> object:
    return UpgradeReader(policy, protocols, 1 << 16, LIMIT).receive(data)


def answer(response: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of a response that is whole, and nothing more."""
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(
            method=method, target="/", headers=[("Host", "x"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        )
    )
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    head = client.next_event()
    fields = {name.decode(): value.decode() for name, value in head.headers}
    body = b""
    if isinstance(head, h11.Response):
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return head.status_code, fields, body


def test_answer_carries_the_accept_token_of_the_specification():
    accepted = read(request())
    assert isinstance(accepted, Acceptance)
    status, fields, _ = answer(accepted.response)
    assert status == 101
    assert fields == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }


@pytest.mark.parametrize(
    ("target", "protocol", "path"),
    [
        ("/", "nats", "/"),
        ("/nats/anything?jwt=x", "nats", "/nats/anything"),
        ("/mqtt", "mqtt", "/mqtt"),
        ("/a/mqtt?x=/y", "mqtt", "/a/mqtt"),
        ("/leafnode", "leafnode", "/leafnode"),
        ("/edge/leafnode", "leafnode", "/edge/leafnode"),
        ("/xmqtt", "nats", "/xmqtt"),
        ("/mqtt/", "nats", "/mqtt/"),
        ("/?/mqtt", "nats", "/"),
    ],
)
def test_last_segment_of_the_path_tells_the_protocol(target, protocol, path):
    accepted = read(request(target, Sec_WebSocket_Protocol="mqtt"))
    assert isinstance(accepted, Acceptance)
    assert accepted.event == Upgraded(protocol, path, "")


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("a=1", {"a": "1"}),
        ("x=0; a=1;b = 2; b=3", {"a": "1", "b": "3"}),
        ('a="1 2"; b="', {"a": "1 2", "b": '"'}),
        ("a=1; a=2", {"a": "1"}),
        ("a=1=2==", {"a": "1=2=="}),
        ("a; =b; ;;", {}),
        ("A=1", {}),
        ("a=", {"a": ""}),
    ],
)
def test_cookies_that_the_policy_names_are_read(sent: str, found: dict[str, str]):
    policy = UpgradePolicy(cookies=frozenset(("a", "b")))
    accepted = UpgradeReader(policy, ALL, LIMIT, LIMIT).receive(request(Cookie=sent))
    assert isinstance(accepted, Acceptance)
    assert accepted.event.cookies == found
    assert "cookies" not in repr(accepted.event)
    nobody = read(request(Cookie=sent))
    assert isinstance(nobody, Acceptance)
    assert nobody.event.cookies == {}


def test_mqtt_subprotocol_is_chosen_among_those_offered_and_only_for_mqtt():
    offered = "mqttv3.1, mqtt"
    assert (
        answer(read(request("/mqtt", Sec_WebSocket_Protocol=offered)).response)[1]["sec-websocket-protocol"] == "mqtt"
    )
    assert "sec-websocket-protocol" not in answer(read(request("/", Sec_WebSocket_Protocol=offered)).response)[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
        {"Content_Length": "0"},
        {"Origin": "https://anywhere.example"},
    ],
    ids=str,
)
def test_harmless_variations_are_accepted(changes):
    assert isinstance(read(request(**changes)), Acceptance)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(method="POST"), 405),
        (request(method="OPTIONS"), 405),
        (request(version="0.9"), 400),
        (request(version="2.0"), 400),
        (request(Host=None), 400),
        (request(target="http://gateway/mqtt"), 400),
        (request(target="*"), 400),
        (request(Upgrade=None), 400),
        (request(Upgrade="h2c"), 400),
        (request(Connection=None), 400),
        (request(Connection="keep-alive"), 400),
        (request(Sec_WebSocket_Version=None), 426),
        (request(Sec_WebSocket_Version="12"), 426),
        (request(Sec_WebSocket_Version="13, 8"), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j"), 400),
        (request(Sec_WebSocket_Key="!!!!"), 400),
        (request(Sec_WebSocket_Key="\xff"), 400),
        (request(Content_Length="5"), 400),
        (request(Content_Length="x"), 400),
        (request(Transfer_Encoding="chunked"), 400),
        (request("/mqtt", Sec_WebSocket_Protocol="mqttv5"), 400),
        (request(X_Control="\0"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"CONNECT {}\r\nPING\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (request(X_Filler="x" * LIMIT), 431),
        (b"GET /" + b"a" * LIMIT, 431),
    ],
)
def test_refusal_is_a_whole_http_response(data, status):
    violation = read(data)
    assert isinstance(violation, PeerViolation)
    assert violation.reason is CloseReason.PROTOCOL_VIOLATION
    assert violation.detail.startswith(f"HTTP {status}: ")
    found, fields, body = answer(violation.farewell)
    assert found == status
    assert fields["connection"] == "close"
    assert fields["sec-websocket-version"] == "13"
    assert body.count(b"\n") == 1
    assert body.endswith(b"\n")


def test_head_is_refused_without_a_body():
    violation = read(request(method="HEAD"))
    assert isinstance(violation, PeerViolation)
    status, fields, body = answer(violation.farewell, "HEAD")
    assert (status, fields["allow"], body) == (405, "GET", b"")


@pytest.mark.parametrize("protocol", sorted(ALL))
def test_protocol_that_is_not_enabled_is_not_found(protocol):
    target = f"/{protocol}"
    only = frozenset((protocol,))
    assert isinstance(read(request(target, Sec_WebSocket_Protocol="mqtt"), protocols=only), Acceptance)
    violation = read(request(target, Sec_WebSocket_Protocol="mqtt"), protocols=ALL - only)
    assert isinstance(violation, PeerViolation)
    assert answer(violation.farewell)[0] == 404


SAME = UpgradePolicy(same_origin=True)
LISTED = UpgradePolicy(allowed_origins=("https://app.example", "http://other.example:81"))
EITHER = UpgradePolicy(same_origin=True, allowed_origins=("https://app.example",))


@pytest.mark.parametrize(
    ("policy", "host", "origin", "accepted"),
    [
        (SAME, "gw:8080", None, True),
        (SAME, "gw:8080", "http://gw:8080", True),
        (SAME, "GW:8080", "http://gw:8080", True),
        (SAME, "gw", "http://gw", True),
        (SAME, "gw:80", "http://gw", True),
        (SAME, "[::1]:8080", "http://[::1]:8080", True),
        (SAME, "gw:8080", "https://gw:8080", False),
        (SAME, "gw:8080", "http://gw:8081", False),
        (SAME, "gw:8080", "http://gw", False),
        (SAME, "gw:8080", "http://evil:8080", False),
        (SAME, "gw:8080", "null", False),
        (SAME, "null", "null", False),
        (SAME, "gw:port", "http://gw:port", False),
        (SAME, "[", "http://[", False),
        (UpgradePolicy(same_origin=True, secure=True), "gw", "https://gw", True),
        (UpgradePolicy(same_origin=True, secure=True), "gw", "http://gw", False),
        (LISTED, "gw", "https://app.example", True),
        (LISTED, "gw", "https://APP.example:443", True),
        (LISTED, "gw", "http://other.example:81", True),
        (LISTED, "gw", "http://other.example", False),
        (LISTED, "gw", "http://app.example", False),
        (LISTED, "gw", "https://app.example.evil", False),
        (LISTED, "gw", "http://gw", False),
        (LISTED, "gw", None, True),
        (EITHER, "gw", "http://gw", True),
        (EITHER, "gw", "https://app.example", True),
        (EITHER, "gw", "https://evil.example", False),
    ],
)
def test_origin_rules(policy, host, origin, accepted):
    decision = read(request(Host=host, Origin=origin), policy)
    if accepted:
        assert isinstance(decision, Acceptance)
    else:
        assert isinstance(decision, PeerViolation)
        assert answer(decision.farewell)[0] == 403


@pytest.mark.parametrize("forwarded", [None, "192.0.2.7", "192.0.2.7, 10.0.0.1", "10.0.0.1"])
@pytest.mark.parametrize("proxies", [(), ("192.0.2.0/24",), ("10.0.0.0/8",)])
def test_forwarded_address_is_believed_from_trusted_proxies_only(forwarded, proxies):
    policy = UpgradePolicy(trusted_proxies=tuple(map(ip_network, proxies)))
    for peer in ("203.0.113.5", "192.0.2.5", "10.9.9.9", "", "unix"):
        accepted = UpgradeReader(policy, ALL, 1 << 16, LIMIT, peer).receive(request(X_Forwarded_For=forwarded))
        assert isinstance(accepted, Acceptance)
        trusted = peer and peer != "unix" and any(ip_address(peer) in network for network in policy.trusted_proxies)
        assert bool(accepted.event.client_ip) == bool(trusted and forwarded)


@pytest.mark.parametrize("offered", ["mqtt", "mqttv3.1", "x, mqttv3.1"])
def test_mqtt_subprotocol_that_the_client_offers_is_agreed_on(offered):
    fields = answer(read(request("/mqtt", Sec_WebSocket_Protocol=offered)).response)[1]
    assert fields["sec-websocket-protocol"] == offered.rpartition(" ")[2]


def test_mqtt_is_served_where_the_path_alone_asks_for_it():
    accepted = read(request("/mqtt"))
    assert accepted.event.protocol == "mqtt"
    assert "sec-websocket-protocol" not in answer(accepted.response)[1]


@pytest.mark.parametrize("host", ["gateway.local", None])
def test_upgrade_of_a_proxy_that_speaks_http_1_0_is_taken(host):
    accepted = read(request("/mqtt", version="1.0", Host=host, Sec_WebSocket_Protocol="mqtt"))
    assert isinstance(accepted, Acceptance)
    assert accepted.response.startswith(b"HTTP/1.1 101 ")


def test_origin_without_a_host_is_not_the_same():
    assert isinstance(read(request(version="1.0", Host=None, Origin="http://gw"), SAME), PeerViolation)
    assert isinstance(read(request(version="1.0", Host=None), SAME), Acceptance)


def test_sixteen_kilobytes_of_cookies_are_taken():
    codec = WebSocketServerCodec(ANYONE, ALL, 1 << 16)
    (upgraded,) = codec.receive(request(Cookie="a" * 16384))
    assert upgraded == Upgraded("nats", "/", "")


@pytest.mark.parametrize("control", ["\0", "\x0b", "\x0c", "\r"])
def test_control_character_is_refused_before_a_pattern_looks_at_it(control):
    head = request(X_Blanks=" " * 200 + control + "x")
    reader = UpgradeReader(ANYONE, ALL, 1 << 16, LIMIT)
    decisions = [decision for byte in head if (decision := reader.receive(bytes((byte,)))) is not None]
    assert answer(decisions[0].farewell)[0] == 400
    assert "control character" in decisions[0].detail
    assert decisions[0] == read(head)


def test_more_fields_than_anybody_sends_are_refused():
    assert answer(read(request(**{f"a{number}": "" for number in range(130)})).farewell)[0] == 431


def test_bytes_behind_the_request_are_given_back():
    reader = UpgradeReader(ANYONE, ALL, 1 << 16, LIMIT)
    accepted = reader.receive(request() + bytes(10_000))
    assert isinstance(accepted, Acceptance)
    assert accepted.rest == bytes(10_000)


def test_request_may_fill_its_limit_but_not_pass_it():
    filler = "x" * (LIMIT - len(request(X_Filler="")))
    exact, long = request(X_Filler=filler), request(X_Filler=filler + "x")
    assert len(exact) == LIMIT
    assert isinstance(read(exact), Acceptance)
    assert isinstance(read(long), PeerViolation)


STREAMS = st.sampled_from(
    [
        request() + b"\x82\x80abcd",
        request(Sec_WebSocket_Key=None),
        request(X_Filler="x" * LIMIT),
        b"garbage " * 300,
        b"GET / HTTP/1.1\r\n\r\n",
    ]
)


@given(STREAMS, st.lists(st.integers(0, 3000), max_size=10))
def test_any_split_gives_the_same_decision(stream, cuts):
    reader = UpgradeReader(ANYONE, ALL, 1 << 16, LIMIT)
    decision, rest = None, b""
    for start, end in pairwise([0, *sorted({cut % len(stream) for cut in cuts} - {0}), len(stream)]):
        if decision is None:
            decision = reader.receive(stream[start:end])
        else:
            rest += stream[start:end]
    expected = read(stream)
    if isinstance(expected, Acceptance):
        assert isinstance(decision, Acceptance)
        assert (decision.event, decision.response) == (expected.event, expected.response)
        assert decision.rest + rest == expected.rest
    else:
        assert decision == expected


@given(
    st.lists(
        st.binary(min_size=1) | st.sampled_from([b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b": "]), min_size=1
    )
)
def test_random_bytes_never_raise(chunks):
    reader = UpgradeReader(UpgradePolicy(same_origin=True, compression=True), ALL, 1 << 16, LIMIT)
    for chunk in chunks:
        if reader.receive(chunk) is not None:
            return


@given(
    st.sampled_from([*sorted(FIELDS), "Origin", "Sec_WebSocket_Extensions", "X_Forwarded_For"]),
    st.text('\t !"#,;=:/[]%@ab09\xff'),
)
def test_random_field_values_never_raise(name, value):
    policy = UpgradePolicy(same_origin=True, allowed_origins=("http://a",), compression=True)
    assert read(request(**{"Origin": "http://a", name: value}), policy) is not None
