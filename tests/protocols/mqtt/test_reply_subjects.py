"""Reply subjects with the correlation data of MQTT 5.0."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.mqtt.reply_subjects import make_reply, parse_reply, reply_filter
from protocols.subjects import matches

LONGEST = 200_000
PREFIX = b"_MQTT5.gw1."
SUBJECTS = st.one_of(
    st.sampled_from([b"answers", b"_INBOX.x.1", b"_MQTT5.gw2.QQ.a", b"_MQTT5.gw1", b"_MQTT5.gw1.x", b"_MQTT5.gw1._.a"]),
    st.binary(min_size=1, max_size=8).map(lambda data: PREFIX + data.hex().encode()),
    st.text("ab/", min_size=1).map(str.encode),
)


@pytest.mark.parametrize(
    ("correlation", "reply"),
    [
        (None, b"answers.1"),
        (b"", PREFIX + b"-.answers.1"),
        (b"A", PREFIX + b"QQ.answers.1"),
        (b"\xff\xfe\xfd\xfc", PREFIX + b"__79_A.answers.1"),
    ],
)
def test_correlation_data_is_a_token_before_the_response_subject(correlation, reply):
    assert make_reply(b"gw1", b"answers.1", correlation, LONGEST) == reply
    assert parse_reply(reply, b"gw1") == (b"answers.1", correlation)


@given(SUBJECTS, st.none() | st.binary())
@example(PREFIX + b"QQ.answers", None)
@example(PREFIX + b"_.answers", None)
def test_every_request_gets_its_response_subject_and_correlation_data_back(subject, correlation):
    reply = make_reply(b"gw1", subject, correlation, LONGEST)
    assert reply is not None
    assert matches(reply_filter(b"gw1"), reply) == (reply != subject)
    assert parse_reply(reply, b"gw1") == (subject, correlation)


@pytest.mark.parametrize(
    "reply",
    [
        b"_INBOX.x.1",
        b"_MQTT5.gw2.QQ.answers",
        b"_MQTT5.gw12.QQ.answers",
        b"_MQTT5",
        PREFIX,
        PREFIX + b"QQ",
        PREFIX + b"QQ.",
        PREFIX + b"_.",
        PREFIX + b"-.",
        PREFIX + b".answers",
        PREFIX + b"Q.answers",
        PREFIX + b"QR.answers",  # has bits that stand for nothing
        PREFIX + b"QQ==.answers",
        PREFIX + b"Q Q.answers",
        PREFIX + b"\xff\xff.answers",
        b"",
    ],
)
def test_other_reply_subject_is_the_response_subject(reply):
    assert parse_reply(reply, b"gw1") == (reply, None)


@given(st.binary())
def test_any_bytes_are_parsed_without_error(data):
    for reply in (data, PREFIX + data):
        subject, correlation = parse_reply(reply, b"gw1")
        assert (subject, correlation) == (reply, None) or make_reply(b"gw1", subject, correlation, LONGEST) is not None


@pytest.mark.parametrize("correlation", [None, b"", b"abc"])
def test_reply_subject_that_would_be_too_long_is_not_made(correlation):
    reply = make_reply(b"gw1", b"answers", correlation, LONGEST)
    assert reply is not None
    assert make_reply(b"gw1", b"answers", correlation, len(reply)) == reply
    assert make_reply(b"gw1", b"answers", correlation, len(reply) - 1) is None
