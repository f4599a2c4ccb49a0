"""The console left open: a short form of `make console-open`."""

from pathlib import Path

import pytest

from tests.integration.console_browser import console_browser
from tests.integration.peers import gateway
from tests.torture.console_open import Sample, endure, faults

pytestmark = pytest.mark.one_form

MIB = 1 << 20


def test_page_that_stays_open_takes_no_more_and_costs_no_more(tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=("nats", "websocket")) as edge, console_browser(edge) as page:
        samples = endure(edge, page, rounds=3, seconds=3.0)
        assert faults(samples, page.call("complaints")) == []


def test_growth_is_a_fault() -> None:
    assert faults([Sample(8 * MIB, 40 * MIB), Sample(9 * MIB, 41 * MIB)], []) == []
    assert len(faults([Sample(8 * MIB, 40 * MIB), Sample(13 * MIB, 55 * MIB)], ["an error"])) == 3
    assert len(faults([Sample(29 * MIB, 40 * MIB), Sample(31 * MIB, 40 * MIB)], [])) == 1
