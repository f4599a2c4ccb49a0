"""Role templates: permissions of a signing key's users, with places that each user's own token fills.

`orders.{{name()}}.>` and the like: `name()`, `subject()`, `account-name()`, `account-subject()`, and the values of tags
as in `{{tag(region)}}` for `region:north`; of several values of a tag there are several subjects.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import msgspec

from gateway.accounts.jwt import MOST_SUBJECTS, MOST_TAGS, Grant, JwtError, Permission
from protocols.subjects import is_valid_filter

# Of all the subjects that one list has when its places are filled.
MOST_BYTES = 1 << 17
MOST_PLACES = 64
# What an undefined tag stands for: it makes no subject.
NOTHING = (" ",)
WHITE_SPACE = frozenset(" \t\n\r\f")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a template is filled for."""

    name: str
    key: str
    tags: tuple[str, ...]
    account_name: str
    account_key: str
    account_tags: tuple[str, ...]


def fill_in(template: Grant, subject: Subject) -> Grant:
    """What the template grants to this one. Raises JwtError where a denial would be lost or a place means nothing, and
    where that is more than can be told quickly.
    """
    filling = Filling(subject)
    return msgspec.structs.replace(template, pub=filling.permission(template.pub), sub=filling.permission(template.sub))


class Filling:
    """Fills the lists of one template."""

    def __init__(self, subject: Subject) -> None:
        if len(subject.tags) + len(subject.account_tags) > MOST_TAGS:
            raise JwtError(f"the user and its account have more than {MOST_TAGS} tags")
        self._subject = subject
        # What the places stand for: each is looked up once.
        self._values: dict[str, tuple[str, ...]] = {}
        self._subjects = 0
        self._bytes = 0

    def permission(self, permission: Permission) -> Permission:
        allow = self._list(permission.allow, must=False)
        deny = self._list(permission.deny, must=True)
        if permission.allow and not allow:  # Nothing allowed would be everything.
            deny = (*deny, ">")
        return Permission(allow, deny)

    def _list(self, texts: tuple[str, ...], must: bool) -> tuple[str, ...]:
        """A list without places stays as it is. `must`: what makes no subject is an error, elsewhere it is left out."""
        cut = [list(_pieces(text)) for text in texts]
        if not any(is_place for pieces in cut for _, is_place in pieces):
            return texts
        filled: list[str] = []
        for pieces in cut:
            # A place that stands twice in a subject has the same value twice.
            places = {text: self._values_of(text, must) for text, is_place in pieces if is_place}
            expected = 1
            for one in places.values():
                expected *= len(one)
                self._count(expected, 0)
                self._subjects -= expected
            self._subjects += expected
            for combination in product(*places.values()):
                chosen = dict(zip(places, combination, strict=True))
                parts = [chosen[text] if is_place else text for text, is_place in pieces]
                self._count(0, sum(map(len, parts)))
                made = "".join(parts)
                if is_valid_filter(made.encode()) and WHITE_SPACE.isdisjoint(made):
                    filled.append(made)
                elif must:
                    raise JwtError("the role's template makes a denial that is no subject")
        return tuple(filled)

    def _count(self, subjects: int, size: int) -> None:
        self._subjects += subjects
        self._bytes += size
        if self._subjects > MOST_SUBJECTS or self._bytes > MOST_BYTES:
            most = f"{MOST_SUBJECTS} subjects, or {MOST_BYTES} bytes of them"
            raise JwtError(f"the role's template makes more than {most}")

    def _values_of(self, place: str, must: bool) -> tuple[str, ...]:
        values = self._values.get(place)
        if values is None:
            if len(self._values) >= MOST_PLACES:
                raise JwtError(f"the role's template has more than {MOST_PLACES} different places")
            values = self._values[place] = _values(place.strip(), self._subject)
        if not values and must:
            raise JwtError("the role's template denies by a tag that is not there")
        return values or NOTHING


def _values(operation: str, subject: Subject) -> tuple[str, ...]:
    """Raises JwtError for what means nothing; an undefined tag has no values."""
    lower = operation.lower()
    single = {
        "name()": subject.name,
        "subject()": subject.key,
        "account-name()": subject.account_name,
        "account-subject()": subject.account_key,
    }
    if lower in single:
        return (single[lower],)
    for lead, tags in (("tag(", subject.tags), ("account-tag(", subject.account_tags)):
        if lower.startswith(lead) and lower.endswith(")"):
            name = lower[len(lead) : -1] + ":"
            return tuple(tag[len(name) :] for tag in tags if tag.startswith(name))
    raise JwtError("the role's template has a place that is not known here")


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is what stands in a place `{{…}}`, without the braces."""
    begin = position = 0
    while (start := text.find("{{", position)) >= 0 and (brace := text.find("}", start + 2)) >= 0:
        if brace > start + 2 and text.startswith("}}", brace):
            yield text[begin:start], False
            yield text[start + 2 : brace], True
            begin = position = brace + 2
        else:
            position = brace + 1
    yield text[begin:], False
