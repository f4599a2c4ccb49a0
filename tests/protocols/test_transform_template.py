"""Texts that are made out of subjects, with the functions of subject transforms and names of the caller's."""

import pytest

from protocols.transform_template import TransformTemplate


def header(name: str, argument: bytes) -> bytes:
    return b"<%b %b>" % (name.encode(), argument)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (b"plain", b"plain"),
        (b"", b""),
        (b"site-$1/$2!", b"site-hall/7!"),
        (b"{{wildcard(2)}}{{ wildcard(1) }}", b"7hall"),
        (b"$", b"$"),
        (b"a$x", b"a$x"),
        (b"{{header(Site)}}-{{subject}}", b"<header Site>-<subject >"),
        (b"{{left(1,2)}}", b"ha"),
    ],
)
def test_template_is_filled(text: bytes, made: bytes) -> None:
    template = TransformTemplate(text, b"plant.*.*.t", ("header", "subject"))
    assert template.fill(b"plant.hall.7.t", header) == made


def test_partition_is_that_of_subject_transforms() -> None:
    template = TransformTemplate(b"{{partition(5,1)}}", b"orders.*")
    numbers = [int(template.fill(b"orders.%d" % number)) for number in range(100)]
    assert set(numbers) == {0, 1, 2, 3, 4}
    assert template.fill(b"orders.x") == template.fill(b"orders.x")


@pytest.mark.parametrize(
    "text", [b"$3", b"$0", b"{{wildcard(1)", b"{{nothing(1)}}", b"{{nothing}}", b"{{partition(x)}}"]
)
def test_what_cannot_be_filled_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\{|\$"):
        TransformTemplate(text, b"plant.*.*")


def test_names_and_constancy_are_known() -> None:
    assert TransformTemplate(b"a", b"x").is_fixed
    template = TransformTemplate(b"{{key}}", b"x", ("key",))
    assert not template.is_fixed
    assert template.names == {"key"}
