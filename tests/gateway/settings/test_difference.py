"""What of a configuration is another in the next."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.addresses import ServerUrl
from gateway.settings.difference import Change, difference, fixed_change, match, summary
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.listener import Listener
from gateway.settings.monitoring import Monitoring
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, Authentication, Callout, Resolver, Tls, User
from gateway.settings.serial import Serial
from gateway.settings.uplink import Uplink

NATS = Listener(protocol="nats", address="127.0.0.1:4222")
MQTT = Listener(protocol="mqtt", address="127.0.0.1:1883")
FREE = Listener(protocol="nats", address="127.0.0.1:0")
NKEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
CALLOUT = Callout(issuer="ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA", users=("ann",))
ANN = User(name="ann", password=Secret("psecret"))
HUB = Uplink(urls=(ServerUrl("nats-leaf", "hub", 7422, "edge", "psecret"),))


def texts(old: Config, new: Config) -> list[str]:
    return [str(change) for change in difference(old, new)]


def test_values_are_told_with_the_old_and_the_new_one():
    new = Config(limits=Limits(max_payload_bytes=100), timeouts=Timeouts(ping_interval_seconds=2.5), watch=False)
    assert texts(Config(), new) == [
        "watch: true → false",
        "limits.max-payload-bytes: 1048576 → 100",
        "timeouts.ping-interval-seconds: 120 → 2.5",
    ]


def test_elements_of_lists_are_told_by_what_became_of_them():
    old = Config(listeners=(NATS, MQTT), users=(User(name="a", password=Secret("x")), User(nkey=NKEY)))
    new = Config(
        listeners=(msgspec.structs.replace(NATS, no_auth_user="a"), FREE),
        users=(User(name="a", password=Secret("y"), account="plant"),),
        accounts=(AccountRules(name="plant"),),
    )
    assert texts(old, new) == [
        "listeners: - mqtt 127.0.0.1:1883",
        "listeners: + nats 127.0.0.1:0",
        "listeners: ~ nats 127.0.0.1:4222 (no-auth-user)",
        "accounts: + plant",
        f"users: - {NKEY}",
        "users: ~ a (password, account)",
    ]


def test_address_that_speaks_another_protocol_is_the_same_listener():
    other = Listener(protocol="mqtt", address=NATS.address)
    assert texts(Config(listeners=(NATS,)), Config(listeners=(other,))) == [
        "listeners: ~ mqtt 127.0.0.1:4222 (protocol)"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Config(authentication=Authentication(token=Secret("psecret"))), Config()),
        (Config(), Config(authentication=Authentication(token=Secret("psecret")))),
        (Config(users=(ANN,)), Config(users=(msgspec.structs.replace(ANN, password=Secret("other psecret")),))),
        (Config(uplinks=(HUB,)), Config()),
        (Config(uplinks=(HUB,)), Config(uplinks=(msgspec.structs.replace(HUB, nkey=Secret("psecret")),))),
    ],
)
def test_secrets_are_not_told(old, new):
    changes = texts(old, new)
    assert changes
    assert "psecret" not in str(changes)
    assert "psecret" not in repr(difference(old, new))


def test_secret_that_is_another_is_told_as_changed():
    old, new = (Config(authentication=Authentication(token=Secret(text))) for text in ("a", "b"))
    assert texts(old, new) == ["authentication.token: changed"]


def test_what_only_a_start_can_change_is_found():
    old = Config()
    fixed = fixed_change(difference(old, Config(data_directory="/x", limits=Limits(max_connections=5))))
    assert fixed == Change("data-directory", "", '"" → "/x"')
    assert fixed_change(difference(old, Config(limits=Limits(max_connections=5)))) is None


def test_whether_an_operator_is_trusted_is_said_at_the_start():
    operator = Config(authentication=Authentication(operator="/o.jwt", resolver=Resolver(preload={"B": "eyJ"})))
    other = Config(authentication=Authentication(operator="/other.jwt", resolver=Resolver(preload={"A": "eyJ"})))
    kept = Config(authentication=Authentication(operator="/o.jwt", resolver=Resolver(directory="/jwt")))
    for before, now in ((operator, Config()), (Config(), operator)):
        fixed = fixed_change(difference(before, now))
        assert fixed is not None
        assert fixed.key == "authentication.operator"
    assert fixed_change(difference(operator, other), operator_stays=True) is None
    fixed = fixed_change(difference(operator, kept), operator_stays=True)
    assert fixed is not None
    assert fixed.key == "authentication.resolver.directory"


def test_who_else_is_asked_may_change():
    old = Config(authentication=Authentication(callout=CALLOUT), users=(ANN,))
    new = Config(authentication=Authentication(callout=msgspec.structs.replace(CALLOUT, xkey="X")), users=(ANN,))
    token = Config(authentication=Authentication(token=Secret("a")))
    for before, now in ((old, new), (old, Config(users=(ANN,))), (Config(users=(ANN,)), old), (Config(), token)):
        assert difference(before, now)
        assert fixed_change(difference(before, now)) is None


def test_summary_counts_elements_and_names_sections_once():
    new = Config(
        listeners=(NATS, FREE, FREE),
        limits=Limits(max_connections=5, max_payload_bytes=7),
        monitoring=Monitoring(address=""),
    )
    assert summary(difference(Config(listeners=(NATS, MQTT)), new)) == "listeners +2 -1, monitoring, limits"
    assert summary([]) == ""


def test_equal_elements_belong_together_before_those_of_the_same_label():
    other = msgspec.structs.replace(FREE, allow_anonymous=True)
    matching = match([FREE, other], [other], lambda one: one.address)
    assert (matching.pairs, matching.removed, matching.added) == ([(1, 0)], [0], [])


listeners = st.lists(
    st.builds(
        Listener,
        protocol=st.sampled_from(("nats", "mqtt", "websocket")),
        address=st.sampled_from(("127.0.0.1:0", "[::1]:0")),
        tls=st.sampled_from((None, Tls(certificate="/a"), Tls(certificate="/b"))),
    ),
    min_size=1,
    max_size=5,
).map(tuple)
users = st.lists(
    st.builds(User, name=st.sampled_from("abcd"), password=st.sampled_from((Secret("x"), Secret("y")))),
    max_size=4,
    unique_by=lambda user: user.name,
).map(tuple)
configs = st.builds(
    Config,
    listeners=listeners,
    users=users,
    serial=st.lists(st.builds(Serial, port=st.sampled_from(("/dev/a", "/dev/b"))), max_size=2).map(tuple),
    limits=st.builds(Limits, max_connections=st.integers(1, 3)),
    mqtt=st.builds(Mqtt, max_inflight=st.integers(1, 3)),
    data_directory=st.sampled_from(("", "/x")),
)


def sections(changes: list[Change]) -> set[str]:
    return {change.section.replace("-", "_") for change in changes}


@given(configs, configs)
def test_a_section_is_told_exactly_where_it_differs(old: Config, new: Config):
    def in_any_order(config: Config, name: str) -> object:
        value = getattr(config, name)
        return sorted(value, key=repr) if isinstance(value, tuple) else value

    differing = {
        field.name
        for field in msgspec.structs.fields(Config)
        if in_any_order(old, field.name) != in_any_order(new, field.name)
    }
    assert sections(difference(old, new)) == differing


@given(configs, configs)
def test_the_way_back_takes_away_what_came(old: Config, new: Config):
    def count(changes: list[Change], sign: str) -> int:
        return sum(change.sign == sign for change in changes)

    there, back = difference(old, new), difference(new, old)
    assert (count(there, "+"), count(there, "-"), count(there, "~")) == (
        count(back, "-"),
        count(back, "+"),
        count(back, "~"),
    )
    assert difference(old, old) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=8), st.integers())
def test_nothing_is_left_over_when_a_list_is_only_shuffled(elements: list[tuple[str, int]], seed: int):
    shuffled = list(elements)
    random.Random(seed).shuffle(shuffled)
    matching = match(elements, shuffled, lambda one: one[0])
    assert [elements[before] for before, _ in matching.pairs] == [shuffled[now] for _, now in matching.pairs]
    assert (matching.removed, matching.added) == ([], [])
