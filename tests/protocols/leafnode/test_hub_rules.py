import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.leafnode.hub_rules import CLOSED, InterestRules, quoted, refused_subject
from protocols.leafnode.link import Permissions


@pytest.mark.parametrize(
    ("subject", "permitted"),
    [
        (b"down.x", True),
        (b"down.*", True),
        (b">", True),
        (b"*", False),
        (b"*.x", True),
        (b"elsewhere", False),
        (b"elsewhere.>", False),
        (b"a.b.*", True),
        (b"a.*", False),
        (b"down.no", False),
        (b"down.no.x", True),
        (b"down.none.x", False),
        (b"down.none.*", False),
        (b"down.none.>", False),
    ],
)
def test_permissions_that_the_hub_told_are_kept_to(subject: bytes, permitted: bool):
    permissions = Permissions(allow=("down.>", "a.*.c"), deny=("down.no", "down.none.>"))
    assert InterestRules(permissions, CLOSED).permit(subject, b"") == permitted


def test_everything_is_permitted_where_nothing_is_said():
    rules = InterestRules(None, CLOSED)
    assert all(rules.permit(subject, b"q") for subject in (b"a", b"*", b">", b"$SYS.x", b"_INBOX.a", b"$JS.x.API.y"))


@pytest.mark.parametrize(
    ("error", "subject"),
    [
        (b'Permissions Violation for Subscription to "a.b"', b"a.b"),
        (b'Permissions Violation for Subscription to "a.b" using queue', b"a.b"),
        (
            rb'Permissions Violation for Subscription to "a\"b\\n\n\x00\xff\u2028\U0001f600"',
            b'a"b\\n\n\x00\xff' + "\u2028\U0001f600".encode(),
        ),
        (rb'Permissions Violation for Subscription to "\q\x\u12\Uffffffff"', rb"\q\x\u12\Uffffffff"),
        (rb'Permissions Violation for Subscription to "\\\\a"', rb"\\a"),
        (rb'Permissions Violation for Subscription to "a\"', b"a\\"),
        (b"Permissions Violation for Subscription to a.b", b""),
        (b'Permissions Violation for Subscription to "a.b', b""),
        (b'Permissions Violation for Publish to "a.b"', b""),
        (b"Authorization Violation", b""),
    ],
)
def test_refused_subject_is_read_from_the_error(error: bytes, subject: bytes):
    assert refused_subject(error) == subject


@given(st.binary(max_size=40))
def test_what_is_quoted_is_read_back(subject: bytes):
    error = f"Permissions Violation for Subscription to {quoted(subject)}".encode()
    assert refused_subject(error) == subject


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b'ot"her', r'"ot\"her"'),
        (b"a\\b\tc\x01", r'"a\\b\tc\x01"'),
        ("ü.\u200b".encode(), r'"ü.\u200b"'),
        (b"\xff", r'"\xff"'),
    ],
)
def test_subjects_are_quoted_as_go_does(subject: bytes, expected: str):
    assert quoted(subject) == expected
