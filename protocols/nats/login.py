"""Login: who a CONNECT says that somebody is, a client or a spoke, and by what it shows that."""

import msgspec

from protocols.nats.lenient_json import read_object


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What is absent is empty."""

    user: str = ""
    password: str = ""
    token: str = ""
    nkey: str = ""
    signature: str = ""
    jwt: str = ""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, ...)"


NOBODY = Login()


class LoginFields(msgspec.Struct):
    """Those of CONNECT, to which each kind of CONNECT adds its own; None stands for one that is absent or null."""

    user: str | None = None
    password: str | None = msgspec.field(name="pass", default=None)
    token: str | None = msgspec.field(name="auth_token", default=None)
    nkey: str | None = None
    signature: str | None = msgspec.field(name="sig", default=None)
    jwt: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(user={self.user!r}, ...)"


def read_connect(text: bytes, kind: type[LoginFields]) -> tuple[dict[str, object], Login]:
    """The fields that are present, of those of the login the user alone; and the login. Raises ValueError for what is
    no such CONNECT.
    """
    # Go's way with names: their case does not count, the last of them does, and null is no object at all.
    named = {name.casefold(): value for name, value in read_object(text).items()}
    fields = msgspec.structs.asdict(msgspec.convert(named, kind))
    present = {name: value for name, value in fields.items() if value is not None}
    said = {name: present[name] for name in LoginFields.__struct_fields__ if name in present}
    others = {name: value for name, value in present.items() if name == "user" or name not in said}
    return others, Login(**said) if said else NOBODY
