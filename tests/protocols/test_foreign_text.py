"""Subjects out of foreign text: legal for whoever reads them, whatever it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.foreign_text import LONGEST_SUBJECT, LONGEST_TOKEN, is_legal, is_legal_literal, make_subject, make_token
from protocols.topic_mapping import subject_to_topic, topic_to_subject

TEXTS = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"a", b".", b" ", b"\x1b[31m", b"\v", b"\xff", b"*", b">", b"+", b"#", b"\0", b"/", b"x" * 300])
).map(b"".join)


@given(TEXTS)
def test_made_subject_is_legal_in_nats_and_in_mqtt(text: bytes):
    subject = make_subject(text)
    if subject:
        assert is_legal_literal(subject)
        assert len(subject) <= 2 * LONGEST_SUBJECT
        topic = subject_to_topic(subject)
        assert topic_to_subject(topic) == subject
        assert topic.decode().isprintable()
        assert not any(character in topic for character in b"+# ")
        assert make_subject(subject) == subject or len(subject) > LONGEST_TOKEN


@given(TEXTS)
def test_made_token_is_one_token(text: bytes):
    token = make_token(text)
    assert b"." not in token
    assert not token or is_legal_literal(token)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (b"temp", b"temp"),
        (b"humidity.inside", b"humidity.inside"),
        (b"Alecto WS V1 out temp", b"Alecto_WS_V1_out_temp"),
        (b"\x1b[1;31mtemp\x1b[0m", b"temp"),
        ("küche.größe".encode(), "küche.größe".encode()),
        (b"a..b", b"a.b"),
        (b".a.", b"a"),
        (b"*.>", b""),
        (b" \t", b""),
        (b"a\0\x01b\xff", b"a_b"),
        (b"a/b+c#", b"a_b_c"),
        (b"", b""),
    ],
)
def test_subject_keeps_what_is_legal(text: bytes, subject: bytes):
    assert make_subject(text) == subject


@pytest.mark.parametrize("subject", [b"a b", b"a\tb", b"a\vb", b"a\fb", b"a\rb", b"a\nb", b"\xff", b"\xed\xa0\x80"])
def test_what_some_client_cannot_read_is_not_legal(subject: bytes):
    assert not is_legal(subject)
    assert not is_legal_literal(subject)


@pytest.mark.parametrize("subject", [b"a.b", "ü".encode(), b"a.*", b"a..b", b"a\x1bb"])
def test_what_every_client_can_read_is_legal(subject: bytes):
    assert is_legal(subject)
