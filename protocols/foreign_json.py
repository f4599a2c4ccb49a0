"""JSON of others: whatever it is, it is read, or refused with msgspec.DecodeError and no other exception.

msgspec itself raises others for what is nested deeper than the stack goes, and for text that is no UTF-8.
"""

from typing import Annotated, Any, Generic, TypeVar, overload

import msgspec

T = TypeVar("T")
# A whole number as servers in Go have it; JSON sets no bound, and arithmetic that expects one fails.
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]

TOO_DEEP = "JSON is nested too deeply"
NO_UTF8 = "JSON is not UTF-8 text"


@overload
def decode(data: bytes | str) -> Any: ...


@overload
def decode(data: bytes | str, shape: type[T]) -> T: ...


def decode(data: bytes | str, shape: Any = Any) -> Any:
    """The value, of this type. Raises msgspec.DecodeError."""
    try:
        return msgspec.json.decode(data, type=shape)
    except RecursionError:
        raise msgspec.DecodeError(TOO_DEEP) from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError(NO_UTF8) from None


class Decoder(Generic[T]):
    """The same for one type again and again."""

    __slots__ = ("_decode",)

    def __init__(self, shape: type[T]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode

    def decode(self, data: bytes | str) -> T:
        """Raises msgspec.DecodeError."""
        try:
            return self._decode(data)
        except RecursionError:
            raise msgspec.DecodeError(TOO_DEEP) from None
        except UnicodeDecodeError:
            raise msgspec.DecodeError(NO_UTF8) from None
