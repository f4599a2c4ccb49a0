"""What goes wrong with an expression: with its text when it is loaded, with a message when it is evaluated."""


class ExpressionError(ValueError):
    """The text is no expression, in words for whoever wrote it."""


class MessageError(Exception):
    """An expression has no result for this message. `kind` is a word to count by."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
