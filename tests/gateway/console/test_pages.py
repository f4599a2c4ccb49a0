"""The console's files as HTTP responses."""

import gzip

from gateway.console import pages
from gateway.console.pages import PLACE, add_files, load_pages, response


def test_place_leads_to_the_page_which_no_other_host_has_a_part_in():
    found = load_pages()
    assert b"\r\nLocation: console/\r\n" in found[PLACE].head
    page = found[f"{PLACE}/"]
    assert page.head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Security-Policy: default-src 'none'; " in page.head
    assert b"unsafe" not in page.head
    assert b"Connection: close" in page.head


def test_built_files_are_sent_as_they_lie_there(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html.gz").write_bytes(gzip.compress(b"<p>here</p>"))
    (tmp_path / "assets" / "index-1.js.gz").write_bytes(b"packed")
    (tmp_path / "assets" / "notes.txt").write_bytes(b"no page")
    found: dict[str, pages.Page] = {}
    add_files(found, tmp_path, f"{PLACE}/")
    assert found.keys() == {f"{PLACE}/", f"{PLACE}/assets/index-1.js"}
    asset = found[f"{PLACE}/assets/index-1.js"]
    assert asset.body == b"packed"
    assert b"Content-Encoding: gzip\r\n" in asset.head
    assert b"immutable" in asset.head
    assert b"no-cache" in found[f"{PLACE}/"].head


def test_whole_page_is_small():
    assert sum(len(page.body) for page in load_pages().values()) <= 90_000


def test_response_has_a_length():
    assert b"Content-Length: 4\r\n" in response(200, b"four", {}).head
