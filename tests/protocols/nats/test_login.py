"""Who a CONNECT says that somebody is, be it a client's or a spoke's."""

import json

from protocols.leafnode.hub import HubDecoder, SpokeConnect
from protocols.nats.login import NOBODY, Login, LoginFields
from protocols.nats.server import Connect, ServerDecoder

SAID = {"user": "ann", "pass": "p", "auth_token": "t", "nkey": "U", "sig": "s", "jwt": "eyJ"}
LOGIN = Login(user="ann", password="p", token="t", nkey="U", signature="s", jwt="eyJ")


def logins(**fields: object) -> list[Login]:
    """What both kinds of CONNECT with these fields say."""
    data = b"CONNECT " + json.dumps(fields).encode() + b"\r\n"
    (client,), (spoke,) = ServerDecoder(1000, 4096).receive(data), HubDecoder(1000, 4096).receive(data)
    assert isinstance(client, Connect)
    assert isinstance(spoke, SpokeConnect)
    return [client.login, spoke.login]


def test_clients_and_spokes_say_it_alike():
    assert logins(**SAID, name="x") == [LOGIN, LOGIN]
    assert logins(**{name.upper(): value for name, value in SAID.items()}) == [LOGIN, LOGIN]
    assert [one is NOBODY for one in logins(name="x", user=None)] == [True, True]


def test_secrets_are_in_the_login_only_and_its_text_names_none():
    data = (
        b"CONNECT " + json.dumps(SAID | {"pass": "secret", "auth_token": "secret", "jwt": "secret"}).encode() + b"\r\n"
    )
    for decoder in (ServerDecoder(1000, 4096), HubDecoder(1000, 4096)):
        (event,) = decoder.receive(data)
        assert "secret" not in repr(event)
        assert "ann" in repr(event)


def test_a_user_that_is_not_named_stays_who_it_was():
    (event,) = ServerDecoder(1000, 4096).receive(b'CONNECT {"pass":"p"}\r\n')
    assert isinstance(event, Connect)
    assert "user" not in event.fields


def test_fields_of_a_connect_tell_no_secret_either():
    fields = LoginFields(user="ann", password="secret", token="secret", signature="secret", jwt="secret")
    assert "secret" not in repr(fields)
    assert "ann" in repr(fields)
