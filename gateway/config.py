"""The configuration: every key with its default, its range and the rules between keys, as frozen structs.

Reading the file and wording its errors is `gateway.config_file`; no other module knows that there is a file.
"""

import socket
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.config_file import KeyedValueError, read_config_file
from gateway.server_url import ServerUrl, is_loopback, join_address, parse_server_url, split_address
