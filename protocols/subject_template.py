"""Templates: names made of the tokens of a subject, as in `{2}_{-1}`.

{subject}    the subject itself; what that is called is for whoever makes the template
{2}          its second token; {-1} the last one, "" where it has fewer
{3-}         its tokens from the third on, with their dots
{{ and }}    braces
"""

import re
from collections.abc import Collection, Mapping

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TOKEN = re.compile(r"(-?[1-9][0-9]?)(-?)")


class SubjectTemplate:
    """`name` is what stands for the whole subject, `others` what may stand beside, given with each subject. Raises
    ValueError, in words for whoever wrote it.
    """

    __slots__ = ("_is_constant", "_pieces", "text", "used")

    def __init__(self, text: str, name: str = "subject", others: Collection[str] = ()) -> None:
        self.text = text
        # A text as it is; the number of a token, and whether those behind it follow; or the name of another value.
        self._pieces: list[str | tuple[int, bool] | tuple[str]] = []
        # The other values that it asks for.
        self.used: set[str] = set()
        at = 0
        for found in _PLACE.finditer(text):
            self._add_text(text[at : found.start()])
            at = found.end()
            whole, inner = found.group(0), found.group(1)
            token = _TOKEN.fullmatch(inner) if inner is not None else None
            if whole in ("{{", "}}"):
                self._add_text(whole[0])
            elif inner == name:
                self._pieces.append((0, True))
            elif token is not None and not (token[1].startswith("-") and token[2]):
                number = int(token[1])
                self._pieces.append((number - 1 if number > 0 else number, bool(token[2])))
            elif inner in others:
                self.used.add(inner)
                self._pieces.append((inner,))
            else:
                known = ", ".join(f"{{{one}}}" for one in (name, *others))
                raise ValueError(f"{text!r}: {whole} is none of {known}, {{1}}, {{-1}} and {{2-}}; {{{{ is a brace")
        self._add_text(text[at:])
        self._is_constant = all(isinstance(piece, str) for piece in self._pieces)

    def _add_text(self, text: str) -> None:
        if text:
            self._pieces.append(text)

    def make(self, subject: str, others: Mapping[str, str] | None = None) -> str:
        """The name for a subject."""
        if self._is_constant:
            return "".join(piece for piece in self._pieces if isinstance(piece, str))
        tokens = subject.split(".")
        made: list[str] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                made.append(piece)
            elif len(piece) == 1:
                made.append(others.get(piece[0], "") if others else "")
            elif piece[1]:
                made.append(".".join(tokens[piece[0] :]))
            elif -len(tokens) <= piece[0] < len(tokens):
                made.append(tokens[piece[0]])
        return "".join(made)
