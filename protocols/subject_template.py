"""Templates of subjects: names that are made of any subject, as text (protocols.transform_template)."""

from collections.abc import Collection, Mapping

from protocols.transform_template import TransformTemplate, pieces_of

NOTHING: Mapping[str, str] = {}


class SubjectTemplate:
    """`name` is what stands for the whole subject, `others` what may stand beside, given with each subject; `used` are
    those of them that are asked for. Raises ValueError, in words for whoever wrote it.
    """

    __slots__ = ("_name", "_template", "used")

    def __init__(self, text: str, name: str = "subject", others: Collection[str] = ()) -> None:
        encoded = text.encode()
        self._name = name
        self._template = TransformTemplate(encoded, b">", (name, *others))
        self.used = self._template.names - {name}
        # A brace alone is a mistake, and nothing that a name has.
        if any(set(literal) & set(b"{}") for literal, _ in pieces_of(encoded)):
            raise ValueError(f"{text!r}: what is filled in is written as {{{{{name}}}}} or {{{{token(2)}}}}")

    def make(self, subject: str, others: Mapping[str, str] = NOTHING) -> str:
        """The name for a subject."""

        def find(wanted: str, argument: bytes) -> bytes:
            return (subject if wanted == self._name else others.get(wanted, "")).encode("utf-8", "replace")

        return self._template.fill(subject.encode("utf-8", "replace"), find).decode("utf-8", "replace")
