"""The console's page, as it was built from page/: responses for listeners that browsers come to."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from protocols.websocket.upgrade import Page

PLACE = "/console"
BUILT = "built"
GZIP = ".gz"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The page loads nothing from elsewhere, and speaks to the gateway that it came from alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}
# The names of assets say what is in them.
FOREVER = "public, max-age=31536000, immutable"
NOT_BUILT = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>leafgate</title></head>
<body>
<h1>leafgate</h1>
<p>The console was not built when this gateway was installed: that takes Node (<code>make console</code>, then install
again). The gateway's numbers are at the address of <code>[monitoring]</code>.</p>
</body>
</html>
"""


def load_pages() -> dict[str, Page]:
    """The console's files by their paths; a page that says what is missing where it was not built."""
    found = {PLACE: response(301, b"", {"Location": f"{PLACE[1:]}/", "Cache-Control": "no-cache"})}
    built = files("gateway.console") / BUILT
    if built.is_dir():
        add_files(found, built, f"{PLACE}/")
    if f"{PLACE}/" not in found:
        fields = {"Content-Type": TYPES[".html"], "Cache-Control": "no-cache"}
        found[f"{PLACE}/"] = response(200, NOT_BUILT.encode(), fields)
    return found


def add_files(found: dict[str, Page], folder: Traversable, path: str) -> None:
    """Add the compressed files of a folder and those below it; every browser understands gzip."""
    for entry in folder.iterdir():
        if entry.is_dir():
            add_files(found, entry, f"{path}{entry.name}/")
        elif entry.name.endswith(GZIP):
            name = entry.name.removesuffix(GZIP)
            is_page = name == "index.html"
            kind = TYPES.get(name[name.rfind(".") :], "application/octet-stream")
            caching = "no-cache" if is_page else FOREVER
            fields = {"Content-Type": kind, "Content-Encoding": "gzip", "Cache-Control": caching}
            found[path if is_page else path + name] = response(200, entry.read_bytes(), fields)


def response(status: int, body: bytes, fields: dict[str, str]) -> Page:
    phrase = {200: "OK", 301: "Moved Permanently"}[status]
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (ALWAYS | fields).items()]
    return Page(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"), body)
