"""The gateway with a fault planted: its databases are written without a sync. Its arguments are those of the gateway.

The tortures must catch it: a cut of power costs what was acknowledged.
"""

import runpy
import sqlite3

from gateway.storage.database import Database

_connect = Database._connect


def connect_without_sync(database: Database, name: str) -> sqlite3.Connection:
    connection = _connect(database, name)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


Database._connect = connect_without_sync  # type: ignore[method-assign]
runpy.run_module("gateway", run_name="__main__")
