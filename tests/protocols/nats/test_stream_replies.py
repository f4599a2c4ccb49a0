"""Reply subjects of what a stream delivers: made, and read again, in both versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nats.stream_replies import Delivery, lead_of, make_reply

NUMBERS = st.integers(0, (1 << 63) - 1)


def read(subject: bytes) -> tuple[int, int, int] | None:
    delivery = Delivery()
    if not delivery.read(subject):
        return None
    return delivery.deliveries, delivery.sequence, delivery.number


@pytest.mark.parametrize(
    ("subject", "delivery"),
    [
        (b"$JS.ACK.S.C.2.7.9.1700000000000000000.4", (2, 7, 9)),
        (b"$JS.ACK.here.szMpdrwD.S.C.2.7.9.1700000000000000000.4", (2, 7, 9)),
        (b"$JS.ACK.here.szMpdrwD.S.C.2.7.9.1700000000000000000.4.more.of.it", (2, 7, 9)),
        (b"$JS.ACK.S.C.2.7.9.1700000000000000000.4.5", None),
        (b"$JS.ACK.S.C.2.7.9.1", None),
        (b"$JS.ACK.S.C.x.7.9.1.4", None),
        (b"$JS.ACK.S.C.-1.7.9.1.4", None),
        (b"$JS.ACK.S.C..7.9.1.4", None),
        (b"$JS.ACK.S.C.1.7.9.1.", None),
        (b"$JS.ACK.S.C.1.77777777777777777777.9.1.4", None),
        (b"a.b", None),
        (b"", None),
    ],
)
def test_a_reply_subject_says_which_delivery_it_was(subject: bytes, delivery: tuple[int, int, int] | None) -> None:
    assert read(subject) == delivery


@given(st.sampled_from((b"S.C.", b"here.szMpdrwD.S.C.")), st.tuples(*[NUMBERS] * 5))
def test_what_is_made_is_read_again(names: bytes, numbers: tuple[int, ...]) -> None:
    subject = make_reply(b"$JS.ACK." + names, *numbers)
    assert subject == b"$JS.ACK.%b%d.%d.%d.%d.%d" % (names, *numbers)
    assert read(subject) == numbers[:3]


def test_names_may_be_longer_than_the_place_where_subjects_are_put_together() -> None:
    lead = b"$JS.ACK.%b.C." % (b"S" * 5000)
    assert make_reply(lead, 1, 2, 3, 4, 5) == lead + b"1.2.3.4.5"


@given(st.binary(max_size=80))
def test_no_subject_is_too_strange_to_be_read(subject: bytes) -> None:
    read(subject)
    read(b"$JS.ACK." + subject)
    assert lead_of(subject) == b"" or subject.startswith(b"$JS.ACK.")


@pytest.mark.parametrize(
    ("subject", "lead"),
    [
        (b"$JS.ACK.S.C.1.2.3.4.5", b"$JS.ACK.S.C."),
        (b"$JS.ACK.S.C.1.2.3.4", b""),
        (b"$JS.ACK.here.szMpdrwD.S.C.1.2.3.4.5", b""),
        (b"$JS.API.S.C.1.2.3.4.5", b""),
        (b"$JS.ACK.", b""),
    ],
)
def test_acknowledgements_of_one_consumer_have_their_lead_in_common(subject: bytes, lead: bytes) -> None:
    assert lead_of(subject) == lead
