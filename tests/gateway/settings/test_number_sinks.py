"""The keys of sinks for numbers and events: what is refused, and with which words."""

import pytest

from gateway.errors import ConfigError
from gateway.settings.fluent import parse_fluent_url
from gateway.settings.numbers import parse_http_url
from gateway.settings.schema import Config, load_config

WRITE = '[[remote-write]]\nname = "m"\nurl = "http://h:1"\nsubjects = ["a.>"]\n'
INFLUX = '[[influx]]\nname = "m"\nurl = "http://h:1"\nsubjects = ["a.>"]\n'
FLUENT = '[[fluent]]\nname = "m"\nurls = ["tcp://h"]\nsubjects = ["a.>"]\n'
LISTENER = '[[listeners]]\nprotocol = "fluent"\naddress = "127.0.0.1:0"\n'


@pytest.fixture
def load(tmp_path):
    """Reads a text as a configuration."""

    def load_text(text: str) -> Config:
        file = tmp_path / "leafgate.toml"
        file.write_text(text)
        return load_config(file)

    return load_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WRITE + 'metric = "{x}"', "remote-write[0].metric: '{x}': what is filled in is written as {{subject}} or"),
        (WRITE + 'metric = "{{x}}"', "remote-write[0].metric: {{x}} is none of {{subject}}, {{field}}"),
        (WRITE + 'metric = "$1"', "remote-write[0].metric: '$1': there is no * that it could stand for"),
        (WRITE + 'labels = { "a-b" = "c" }', "remote-write[0].labels.a-b: a label is of letters"),
        (WRITE + 'labels = { __name__ = "c" }', "does not begin with __"),
        (WRITE + 'labels = { a = "{" }', "remote-write[0].labels.a: '{'"),
        (WRITE + 'token = "x"\nuser = "y"', "remote-write[0].token: either a token or user and password"),
        (WRITE + 'user = "y"', "remote-write[0].password: user and password go together"),
        (WRITE + "tls = {}", "remote-write[0].tls: the URL is not https://"),
        (WRITE.replace('subjects = ["a.>"]', ""), "remote-write[0].subjects: say which messages go there"),
        (WRITE.replace("http://h:1", "tcp://h"), "remote-write[0].url: the scheme must be http:// or https://"),
        (WRITE.replace("http://h:1", "http://h/a b"), "has white space or letters that a URL has not"),
        (WRITE + 'stream = "S"', "remote-write[0].stream: there are no streams here"),
        (WRITE + WRITE, "remote-write[1].name: m is at remote-write[0].name too"),
        (INFLUX + 'database = "a"\nbucket = "b"', "influx[0].database: either database (version 1) or bucket"),
        (INFLUX + 'retention-policy = "a"', "influx[0].retention-policy: it is one of a database"),
        (INFLUX + 'tags = { time = "x" }', "influx[0].tags.time: no tag is called so"),
        (INFLUX + 'measurement = "{9"', "influx[0].measurement: '{9': what is filled in"),
        (FLUENT + 'tag = "{}"', "fluent[0].tag: '{}': what is filled in"),
        (FLUENT + 'user = "x"\npassword = "y"', "fluent[0].shared-key: a login needs it"),
        (FLUENT + 'log-subject = "a.>"', "fluent[0].log-subject: 'a.>' is no subject"),
        (FLUENT + "tls = {}", "fluent[0].tls: no URL is tls://"),
        (FLUENT.replace('"tcp://h"', ""), "fluent[0].urls: at least one URL is needed"),
        (FLUENT.replace("tcp://h", "tcp://u:p@h"), "user and password have keys of their own"),
        (FLUENT + 'shared-key = ""', "fluent[0].shared-key: it is empty, or too long"),
        (
            LISTENER + 'fluent = { subject = "a..{{tag}}" }',
            "fluent.subject: 'a..{{tag}}' makes no subjects",
        ),
        (LISTENER + 'fluent = { subject = "{{x}}" }', "listeners[0].fluent.subject: {{x}} is none of {{tag}}"),
        (LISTENER + 'fluent = { time-field = "t", payload-field = "p" }', "there is no record to put it in"),
        (LISTENER.replace('"fluent"', '"nats"') + 'fluent = { subject = "x" }', "only fluent listeners have it"),
        (LISTENER + '[[users]]\nname = "a"\npassword = "b"', "give those who bring events a shared-key"),
        (LISTENER.replace("127.0.0.1", "0.0.0.0"), "can be reached from other machines"),
    ],
)
def test_what_does_not_fit_is_said(load, text, words):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert words in str(caught.value)


def test_listener_with_a_key_may_be_reached_from_elsewhere(load):
    config = load(LISTENER.replace("127.0.0.1", "0.0.0.0") + 'fluent = { shared-key = "k" }')
    assert config.listeners[0].fluent.shared_key.value == "k"


def test_urls_show_no_secret():
    url = parse_http_url("https://user:secret@[::1]/api/write?token=secret")
    assert (url.host, url.port, url.target, url.password) == ("::1", 443, "/api/write?token=secret", "secret")
    assert str(url) == "https://[::1]:443/api/write"
    assert "secret" not in repr(url)
    assert parse_http_url("http://h").target == "/"
    assert str(parse_fluent_url("tcp://h")) == "tcp://h:24224"
