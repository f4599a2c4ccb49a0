"""What log lines look like, how long they get, and how often they come."""

import json
import logging

import pytest
import trio
from trio.testing import MockClock

from gateway.runtime.deadlines import Deadlines
from gateway.runtime.logs import LONGEST_LINE, MOST_KEYS, JsonFormatter, Repeats, TextFormatter, shown

log = logging.getLogger("leafgate.test")


def record(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("leafgate.test", logging.INFO, __file__, 1, text, arguments, None)


def fields(text: str, *arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(JsonFormatter().format(record(text, *arguments)))
    return found


def test_json_lines_have_a_field_for_each_pair():
    found = fields("cid=%d event=closed kind=%s reason=%r detail=%r", 7, "nats", "Client Closed", 'it\'s "late" = 1')
    assert (found["level"], found["logger"]) == ("info", "leafgate.test")
    assert (found["cid"], found["event"], found["kind"]) == (7, "closed", "nats")
    assert found["reason"] == "Client Closed"
    assert found["detail"] == 'it\\\'s "late" = 1'
    assert str(found["message"]).startswith("cid=7 event=closed")


def test_what_stands_in_quotes_makes_no_fields_and_no_field_replaces_what_every_line_has():
    found = fields("event=odd text=%r level=9 client-id=%s", "a level=9 b=c", shown(b"time=0 x"))
    assert (found["level"], found["event"], found["text"]) == ("info", "odd", "a level=9 b=c")
    assert found["client-id"] == "time=0 x"
    assert "b" not in found
    assert "x" not in found


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_line_is_longer_than_is_sane(formatter: logging.Formatter):
    line = formatter.format(record("event=odd name=%r", "x" * 400_000))
    assert len(line) < 3 * LONGEST_LINE
    assert "(+39" in line


def test_names_of_peers_are_cut():
    assert shown(b"sensor 1") == "'sensor 1'"
    assert shown(b"\xff\n'") == repr("\\xff\n'")
    assert len(shown(b"\xff" * 65_535)) < 500
    assert "(+65471 bytes)" in shown(bytes(65_535))


async def in_time(repeats_wanted: int, caplog: pytest.LogCaptureFixture, keys: int = 1, allowance: int = 1) -> Repeats:
    deadlines = Deadlines()
    repeats = Repeats(deadlines)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run, lambda: None)
        for number in range(repeats_wanted):
            repeats.log(log, logging.WARNING, number % keys, "event=again n=%d", number, allowance=allowance)
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    return repeats


async def test_lines_of_one_key_are_counted_and_told_of_once_a_minute(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
):
    await in_time(1001, caplog)
    assert caplog.messages == ["event=again n=0", "event=again n=1000 times=1000"]


async def test_single_line_is_written_and_forgotten(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture):
    await in_time(1, caplog)
    assert caplog.messages == ["event=again n=0"]


async def test_so_many_lines_as_are_allowed_are_written(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture):
    await in_time(7, caplog, allowance=5)
    assert caplog.messages[4:] == ["event=again n=4", "event=again n=6 times=2"]


async def test_keys_that_are_told_apart_are_bounded(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture):
    await in_time(MOST_KEYS + 5000, caplog, keys=MOST_KEYS + 5000)
    assert len(caplog.messages) == MOST_KEYS + 2
    assert caplog.messages[-1].endswith("times=4999")
