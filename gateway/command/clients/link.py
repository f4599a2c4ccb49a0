"""Link: what a command needs of a connection to a server, whichever protocol is spoken on it."""

from typing import NamedTuple, Self

from gateway.command.client_login import ANONYMOUS, ClientLogin
from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl

# How long a server may take to let us in, or to say that it has taken what we sent.
ANSWER_SECONDS = 5.0
# The largest that any server of the field can be told to let through.
MAX_PAYLOAD = 64 * 1024 * 1024


class ConnectionLostError(ClientError):
    """There is no connection, or none any more; another try may find one."""


class TlsFiles(NamedTuple):
    """By what the server is known, and who we are: paths, "" for the machine's authorities and for no certificate.
    `server_name` is what its certificate must be for, "" for the host of the URL.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""


NO_FILES = TlsFiles()


class Target(NamedTuple):
    """A server, and how we come in."""

    url: ServerUrl
    tls: TlsFiles = NO_FILES
    login: ClientLogin = ANONYMOUS

    @property
    def speaks_mqtt(self) -> bool:
        """MQTT has a scheme of its own, and in a WebSocket a path of its own."""
        return self.url.scheme in ("mqtt", "mqtts") or (self.url.scheme in ("ws", "wss") and self.url.path == "/mqtt")


class Interest(NamedTuple):
    """What is subscribed to: a subject or a topic filter, with the group that shares its messages, b"" for none. NATS
    servers stop after `most` messages, 0 for never.
    """

    name: bytes
    queue: bytes = b""
    most: int = 0


class Received(NamedTuple):
    """A message. `name` is its subject or topic, `reply` where an answer goes, `status` the code and the words of a
    server that answers itself, (0, "") for a message of somebody's.
    """

    name: bytes
    payload: bytes
    reply: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    status: tuple[int, str] = (0, "")
    correlation: bytes | None = None
    retained: bool = False


class Outgoing(NamedTuple):
    """A message to be published; `correlation` is that of the request it answers, `retain` asks an MQTT broker to
    keep it.
    """

    name: bytes
    payload: bytes
    reply: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    correlation: bytes | None = None
    retain: bool = False


class Link:
    """An open connection whose server has let us in; leaving it as a context closes it. Every method raises ClientError
    when the server ends it or refuses something, ConnectionLostError when it is gone.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, messages: list[Outgoing]) -> None:
        """Send messages; `settle` tells whether they have arrived. Raises MisuseError for one that cannot be sent."""
        raise NotImplementedError

    def settle(self) -> None:
        """Return once the server has taken everything that was sent. Messages that come meanwhile are kept."""
        raise NotImplementedError

    def next_message(self, deadline: float | None) -> Received | None:
        """The next message; None when none has come by `deadline`, of time.monotonic()."""
        raise NotImplementedError

    def tend(self) -> None:
        """Do what is due without waiting: answer the server, give a sign of life."""
        raise NotImplementedError

    def fileno(self) -> int:
        """What is readable when `tend` has something to do."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
