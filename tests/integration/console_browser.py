"""What tests of the console share: a browser that has it open, and a gateway with users for it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.node_peers import NodeClient, require_chromium, require_node
from tests.integration.peers import Peer


@contextmanager
def console_browser(edge: Peer) -> Iterator[NodeClient]:
    """A browser for the console of a gateway; nothing may have come from elsewhere."""
    program = require_node("playwright-core", "axe-core")
    if shutil.which("npm") is None:
        pytest.skip("the console is built by npm")
    page = NodeClient(program, "console_page.mjs", edge.url("websocket", "http"), require_chromium())
    try:
        assert page.next_answer() == "connected"
        yield page
        assert page.call("foreign") == []
    finally:
        page.close()
