"""What a CONNECT says of who the client is, as those hear it who decide."""

import pytest

from gateway.accounts.admission import with_cookies
from gateway.mqtt.login import login_of
from gateway.transport.browser_login import BrowserLogin
from protocols.mqtt.packets import Connect
from tests.gateway.memory_connection import MemoryConnection, running_gateway

JWT = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJVIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("user", "password", "jwt"),
    [
        (b"anna", b"words", ""),
        (None, b"a-token", ""),
        (b"anything", JWT.encode(), JWT),
        (None, JWT.encode(), JWT),
        (b"anna", b"a.b.c", ""),
        (b"anna", b"eyJ0.b", ""),
        (b"anna", b"eyJ0..c", ""),
        (b"anna", b"\xff\xfe", ""),
        (None, None, ""),
    ],
)
async def test_password_is_token_and_jwt_too(user: bytes | None, password: bytes | None, jwt: str):
    async with running_gateway() as gateway:
        packet = Connect(5, b"id", username=user, password=password)
        said = login_of(packet, MemoryConnection(gateway))  # type: ignore[arg-type]
        assert said.user == (user or b"").decode()
        assert said.password == (password or b"")
        assert said.token == (password or b"").decode("utf-8", "replace")
        assert said.jwt == jwt
        assert (said.kind, said.client_id) == ("mqtt", b"id")


async def test_cookies_say_what_the_connect_does_not():
    async with running_gateway() as gateway:
        said = login_of(Connect(5, b"id", username=b"anna"), MemoryConnection(gateway))  # type: ignore[arg-type]
        cookies = BrowserLogin(user="bert", password="words", token="a-token", jwt=JWT)
        filled = with_cookies(said, cookies)
        assert (filled.user, filled.password, filled.token, filled.jwt) == ("anna", b"words", "a-token", JWT)
        assert "words" not in repr(cookies)
        assert JWT not in repr(cookies)
