"""A JSON object as nats-server reads it: text that is not quite Unicode costs its characters, not the connection."""

import msgspec

REPLACEMENT = "\ufffd"

_strict = msgspec.json.Decoder(dict[str, object] | None)


def read_object(text: bytes) -> dict[str, object]:
    """The fields of a JSON object, none for `null`. Raises ValueError, also for what is nested too deeply.

    Each byte that is no UTF-8 (the Latin-1 of an old device) and each lone surrogate counts as U+FFFD.
    """
    try:
        return _strict.decode(text) or {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        strict_error = error
    except RecursionError as error:
        raise ValueError(str(error)) from None
    import json  # Few peers need it.

    try:
        # Undecodable bytes become lone surrogates here, one each; with those from escapes they are replaced below.
        found = json.loads(text.decode("utf-8", "surrogateescape"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError(str(strict_error)) from None
    if not isinstance(found, dict):
        raise ValueError(str(strict_error))
    return {_replace(name): _replace(value) if isinstance(value, str) else value for name, value in found.items()}


def _replace(text: str) -> str:
    if text.isascii():
        return text
    return "".join([REPLACEMENT if "\ud800" <= character <= "\udfff" else character for character in text])


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")
