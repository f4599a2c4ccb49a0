"""Role templates: what a user's name, key and tags make of them, and what they cannot make."""

from dataclasses import replace

import pytest

from gateway.accounts.jwt import MOST_SUBJECTS, MOST_TAGS, Grant, JwtError, Permission
from gateway.accounts.role_templates import MOST_PLACES, Subject, fill_in

ANN = Subject("ann", "UANN", ("region:north", "region:south", "team:blue"), "acme", "AACME", ("tier:gold",))


def allowed(*subjects: str, who: Subject = ANN) -> Permission:
    return fill_in(Grant(pub=Permission(allow=subjects)), who).pub


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("a.{{name()}}.>", ["a.ann.>"]),
        ("{{ Subject() }}", ["UANN"]),
        ("{{account-name()}}.{{account-subject()}}", ["acme.AACME"]),
        ("{{tag(team)}}", ["blue"]),
        ("{{account-tag(tier)}}.x", ["gold.x"]),
        ("{{tag(region)}}.{{tag(team)}}", ["north.blue", "south.blue"]),
        # A place that stands twice has one value.
        ("{{tag(region)}}.{{tag(region)}}", ["north.north", "south.south"]),
        ("{{tag(region)}}.{{name()}}", ["north.ann", "south.ann"]),
        ("plain", ["plain"]),
        ("a.{name()}.b", ["a.{name()}.b"]),
        ("a.{{}}.b", ["a.{{}}.b"]),
        ("a.{{name()", ["a.{{name()"]),
    ],
)
def test_places_are_filled(template: str, made: list[str]):
    assert allowed(template) == Permission(allow=tuple(made))


def test_a_list_without_places_stays_with_its_queue_groups():
    assert allowed("a b", "c") == Permission(allow=("a b", "c"))


def test_what_makes_no_subject_is_not_allowed():
    assert allowed("x.{{tag(colour)}}", "y") == Permission(allow=("y",))


def test_nothing_left_to_allow_is_nothing_allowed():
    assert allowed("x.{{tag(colour)}}") == Permission(deny=(">",))


@pytest.mark.parametrize("denied", ["x.{{tag(colour)}}", "x.{{name()}}..y"])
def test_a_denial_is_never_lost(denied: str):
    with pytest.raises(JwtError):
        fill_in(Grant(sub=Permission(deny=(denied,))), ANN)


@pytest.mark.parametrize("unknown", ["{{colour()}}", "{{name}}", "{{{{name()}}", "{{ }}"])
def test_unknown_places_are_an_error(unknown: str):
    with pytest.raises(JwtError, match="not known here"):
        allowed(unknown)


def test_a_name_fills_a_place_and_opens_none():
    sly = Subject("{{subject()}}", "UANN", (), "", "", ())
    assert allowed("x.{{name()}}.{{subject()}}", who=sly) == Permission(allow=("x.{{subject()}}.UANN",))


def test_subjects_are_bounded():
    many = Subject("n", "U", tuple(f"a:{n}" for n in range(70)) + tuple(f"b:{n}" for n in range(70)), "", "", ())
    with pytest.raises(JwtError, match=str(MOST_SUBJECTS)):
        allowed("{{tag(a)}}.{{tag(b)}}", who=many)


def test_a_long_template_takes_no_square_of_time():
    text = "{{a}" * 30_000
    assert allowed(text, "{{name()}}") == Permission(allow=(text, "ann"))


TAGS = tuple(f"t:{number}" for number in range(MOST_TAGS - 1))


@pytest.mark.parametrize(
    ("subjects", "who"),
    [
        # More combinations than subjects, whether or not they make any.
        (["{{tag(t)}}.{{account-tag(t)}}"], replace(ANN, tags=TAGS[:120], account_tags=TAGS[:120])),
        (["{{tag(t)}}..{{account-tag(t)}}"], replace(ANN, tags=TAGS[:120], account_tags=TAGS[:120])),
        (["..{{tag(t)}}"] * MOST_SUBJECTS, replace(ANN, tags=TAGS)),
        # One subject that is longer than all may be.
        (["{{name()}}." * 1000 + "x"], replace(ANN, name="n" * 1000)),
        (["{{tag(t)}}." + "x" * 10_000], replace(ANN, tags=TAGS)),
        ([f"{{{{tag(t{number})}}}}" for number in range(MOST_PLACES + 1)], ANN),
        (["{{name()}}"], replace(ANN, tags=TAGS, account_tags=("a:b", "c:d"))),
    ],
)
def test_what_would_take_long_to_fill_in_is_refused(subjects: list[str], who: Subject):
    with pytest.raises(JwtError, match="more than"):
        allowed(*subjects, who=who)


def test_as_many_subjects_are_made_as_may_be():
    made = allowed("{{tag(t)}}.x", who=replace(ANN, tags=TAGS))
    assert made.allow == tuple(f"{number}.x" for number in range(len(TAGS)))
