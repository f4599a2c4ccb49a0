"""Role templates: permissions of a signing key's users, with places that each user's own token fills.

`orders.{{name()}}.>` and the like: `name()`, `subject()`, `account-name()`, `account-subject()`, and the values of tags
as in `{{tag(region)}}` for `region:north`; of several values of a tag there are several subjects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import msgspec

from gateway.accounts.jwt import Grant, JwtError, Permission
from protocols.subjects import is_valid_filter

# Subjects that one list may have when its places are filled.
MOST_SUBJECTS = 4096
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
    """What the template grants to this one. Raises JwtError where a denial would be lost or a place means nothing."""
    return msgspec.structs.replace(
        template, pub=_fill_permission(template.pub, subject), sub=_fill_permission(template.sub, subject)
    )


def _fill_permission(permission: Permission, subject: Subject) -> Permission:
    allow = _fill_list(permission.allow, subject, must=False)
    deny = _fill_list(permission.deny, subject, must=True)
    if permission.allow and not allow:  # Nothing allowed would be everything.
        deny = (*deny, ">")
    return Permission(allow, deny)


def _fill_list(texts: tuple[str, ...], subject: Subject, must: bool) -> tuple[str, ...]:
    """A list without places stays as it is. `must`: what makes no subject is an error, elsewhere it is left out."""
    cut = [list(_pieces(text)) for text in texts]
    if not any(is_place for pieces in cut for _, is_place in pieces):
        return texts
    filled: list[str] = []
    for pieces in cut:
        # A place that stands twice in a subject has the same value twice.
        places = {text: _values(text, subject, must) for text, is_place in pieces if is_place}
        expected = 1
        for one in places.values():
            expected *= len(one)
            if len(filled) + expected > MOST_SUBJECTS:
                raise JwtError(f"the role's template makes more than {MOST_SUBJECTS} subjects")
        for combination in product(*places.values()):
            chosen = dict(zip(places, combination, strict=True))
            made = "".join(chosen[text] if is_place else text for text, is_place in pieces)
            if is_valid_filter(made.encode()) and WHITE_SPACE.isdisjoint(made):
                filled.append(made)
            elif must:
                raise JwtError("the role's template makes a denial that is no subject")
    return tuple(filled)


def _values(operation: str, subject: Subject, must: bool) -> tuple[str, ...]:
    operation = operation.strip()
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
            values = tuple(_tag_values(lower[len(lead) : -1], tags))
            if not values and must:
                raise JwtError("the role's template denies by a tag that is not there")
            return values or NOTHING
    raise JwtError("the role's template has a place that is not known here")


def _tag_values(name: str, tags: Iterable[str]) -> Iterator[str]:
    for tag in tags:
        if tag.startswith(f"{name}:"):
            yield tag[len(name) + 1 :]


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
