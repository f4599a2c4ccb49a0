"""Rules of permissions, held against what nats-server's rules say in plain words."""

import gc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.permissions import CARRIERS, EVERYTHING, Permissions, make_permissions
from gateway.settings.security import AllowResponses, PermissionRules, SubjectRule
from protocols.subjects import is_subset, is_valid_filter, matches, overlaps

token = st.sampled_from(["a", "b", "*", ">"])
filters = st.lists(token, min_size=1, max_size=4).map(".".join).filter(lambda text: is_valid_filter(text.encode()))
literals = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4).map(".".join)
queue_filters = st.one_of(filters, st.tuples(filters, st.sampled_from(["q", "r", "q.*", ">"])).map(" ".join))
queues = st.sampled_from([b"", b"q", b"r", b"q.x"])


def rules_of(entries: st.SearchStrategy[str]) -> st.SearchStrategy[SubjectRule]:
    some = st.lists(entries, max_size=4).map(tuple)
    return st.builds(lambda allow, deny: SubjectRule(allow=allow, deny=deny), st.none() | some, some)


def split(entries: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    return [(text.encode().partition(b" ")[0], text.encode().partition(b" ")[2]) for text in entries]


@given(rules_of(filters), literals)
def test_publishing_follows_the_rules(rule: SubjectRule, subject: str):
    permissions = Permissions(PermissionRules(publish=rule))
    wanted = subject.encode()
    allowed = rule.allow is None or any(matches(one.encode(), wanted) for one in rule.allow)
    denied = any(matches(one.encode(), wanted) for one in rule.deny)
    for _ in range(3):  # judged, then remembered
        assert permissions.may_publish(wanted) == (allowed and not denied)


@given(rules_of(queue_filters), filters, queues)
def test_subscribing_follows_the_rules(rule: SubjectRule, subject: str, queue: bytes):
    permissions = Permissions(PermissionRules(subscribe=rule))
    wanted = subject.encode()
    allowed = rule.allow is None
    if rule.allow is not None:
        groups = [name for one, name in split(rule.allow) if name and is_subset(wanted, one)]
        allowed = any(is_subset(wanted, one) for one, name in split(rule.allow) if not name)
        if queue and groups:
            allowed = any(is_subset(queue, name) for name in groups)
    denied = any(
        matches(one, wanted) and (not name or (queue != b"" and is_subset(queue, name)))
        for one, name in split(rule.deny)
    )
    assert permissions.may_subscribe(wanted, queue) == (allowed and not denied)


@given(rules_of(queue_filters), filters, literals)
def test_a_subscription_gets_nothing_that_is_denied(rule: SubjectRule, subject: str, published: str):
    """Whoever may subscribe gets a message exactly when it is not denied."""
    permissions = Permissions(PermissionRules(subscribe=rule))
    wanted, message = subject.encode(), published.encode()
    denied = [one for one, name in split(rule.deny) if not name]
    # What comes on a carrier is for another subject, which may be denied.
    kept_from = (*denied, *CARRIERS) if denied else ()
    assert permissions.filters(wanted) == any(overlaps(wanted, one) for one in kept_from)
    if matches(wanted, message) and permissions.may_subscribe(wanted):
        assert permissions.may_receive(message) == (not any(matches(one, message) for one in denied))
        assert permissions.may_receive(message) or permissions.filters(wanted)


def test_a_subscription_broader_than_what_is_allowed_is_refused():
    """nats-server takes `foo.>` for a part of `foo.*`, and delivers what is below."""
    permissions = Permissions(PermissionRules(subscribe=SubjectRule(allow=("foo.*",))))
    assert not permissions.may_subscribe(b"foo.>")
    assert not permissions.may_receive(b"foo.a.b")


def test_everybody_with_the_same_rules_has_the_same_permissions():
    text = b'{"publish": {"allow": ["a.>"]}}'
    first = make_permissions(msgspec.json.decode(text, type=PermissionRules))
    assert make_permissions(msgspec.json.decode(text, type=PermissionRules)) is first
    assert make_permissions(PermissionRules(publish=SubjectRule(allow=("b",)))) is not first


def test_permissions_go_with_the_last_who_has_them():
    rules = PermissionRules(publish=SubjectRule(allow=("gone",)))
    make_permissions(rules)
    gc.collect()
    assert not any(isinstance(one, Permissions) and one.rules == rules for one in gc.get_objects())


def test_own_rules_come_before_those_of_the_account_and_those_of_all():
    own, account, everybody = (PermissionRules(publish=SubjectRule(allow=(name,))) for name in "abc")
    assert make_permissions(own, account, everybody).may_publish(b"a")
    assert make_permissions(None, account, everybody).may_publish(b"b")
    assert make_permissions(None, None, everybody).may_publish(b"c")
    assert make_permissions(None, None) is EVERYTHING
    # Rules that say nothing are rules, too.
    assert make_permissions(PermissionRules(), everybody) is EVERYTHING


@pytest.mark.parametrize("subject", [b"$LEAFGATE.time", b"$LEAFGATE.publish.secret", b"$LEAFGATE.retained.get"])
def test_what_the_gateway_answers_itself_needs_no_rule_and_can_be_denied(subject: bytes):
    assert Permissions(PermissionRules(publish=SubjectRule(allow=("a",)))).may_publish(subject)
    denying = PermissionRules(publish=SubjectRule(deny=("$LEAFGATE.>",)))
    assert not Permissions(denying).may_publish(subject)


def test_a_reply_subject_of_mqtt_stands_for_the_response_topic_in_it():
    permissions = Permissions(PermissionRules(publish=SubjectRule(allow=("in.>", "_MQTT5.>"), deny=("in.no",))))
    assert permissions.may_publish(b"_MQTT5.gw.AQ.in.a")
    assert not permissions.may_publish(b"_MQTT5.gw.AQ.in.no")
    assert not permissions.may_publish(b"_MQTT5.gw.AQ.out")
    assert not permissions.may_publish(b"_MQTT5.gw.AQ._MQTT5.gw.AQ.out")
    assert not permissions.may_publish(b"_MQTT5.gw.AQ." * 10_000 + b"in.a")


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (PermissionRules(), None),
        (
            PermissionRules(subscribe=SubjectRule(deny=("a", "b q"))),
            {"publish": {}, "subscribe": {"deny": ["a", "b q"]}},
        ),
        (
            PermissionRules(publish=SubjectRule(allow=("a",), deny=("b",)), allow_responses=True),
            {
                "publish": {"allow": ["a"], "deny": ["b"]},
                "subscribe": {},
                "responses": {"max": 1, "ttl": 120_000_000_000},
            },
        ),
        (
            PermissionRules(allow_responses=AllowResponses(max=-1, seconds=0.5)),
            {"publish": {"allow": []}, "subscribe": {}, "responses": {"max": -1, "ttl": 500_000_000}},
        ),
    ],
)
def test_permissions_are_described_as_nats_server_does(rules: PermissionRules, told: object):
    assert Permissions(rules).describe() == told


def test_a_published_subject_has_no_queue_group():
    with pytest.raises(ValueError, match="queue group"):
        PermissionRules(publish=SubjectRule(deny=("a q",)))
