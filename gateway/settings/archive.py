"""The keys of `[[streams.archive]]`: a stream that is copied into a database."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The stream of an account, copied into `table` of a PostgreSQL that `database` names as libpq does: a URL, or
    `host=… dbname=…`. With `partition-days` 0 the table has no parts of its own for times.
    """

    stream: Annotated[str, Meta(min_length=1, max_length=255)]
    database: Secret
    account: str = DEFAULT_ACCOUNT
    table: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]*$", max_length=40)] = "leafgate_messages"
    partition_days: Annotated[int, Meta(ge=0, le=366)] = 30

    def __post_init__(self) -> None:
        if not self.database.value.strip():
            raise KeyedValueError("database", "is empty; write it as postgresql://user@host/name")
