"""Enhanced login: the AUTH packets of a client that shows by SCRAM-SHA-256 who it is (MQTT 5.0, 4.12), at its CONNECT
and again when it wants to.
"""

from dataclasses import replace
from typing import Protocol

from gateway.accounts.admission import AdmissionRequest
from gateway.accounts.identity import Decision, Identity, Refusal
from gateway.accounts.scram import MECHANISM, ScramError, ScramExchange, Verifier, Verifiers
from gateway.mqtt.login import login_of
from gateway.transport.connection import Connection
from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode

METHOD = MECHANISM.encode()


class LoginClient(Protocol):
    """The client that logs in. `identity` is None before it is in."""

    connection: Connection

    @property
    def identity(self) -> Identity | None: ...

    def send_login(self, auth: bytes) -> bool:
        """Send an AUTH; where it is larger than the client takes, part with it. Whether it was sent."""

    def login_decided(self, packet: packets.Connect, decision: Decision, held: list[object]) -> None:
        """The CONNECT may go on, or not."""

    def login_renewed(self, identity: Identity, held: list[object]) -> None:
        """Who is in has shown again who it is."""

    def login_failed(self, code: ReasonCode, detail: str) -> None:
        """Part with the client."""


class EnhancedLogin:
    """What a client does with one authentication method. `is_open` until its CONNECT is decided on."""

    __slots__ = ("_client", "_exchange", "_packet", "_request", "_signature", "_verifier", "is_open")

    def __init__(self, client: LoginClient, request: AdmissionRequest, packet: packets.Connect) -> None:
        self._client = client
        self._request = request
        self._packet = packet
        self.is_open = True
        # The exchange that goes on, if any, and what it is to be judged by, once that is known.
        self._exchange: ScramExchange | None = None
        self._verifier: Verifier | None = None
        self._signature = b""

    def begin(self) -> None:
        """Take the CONNECT."""
        properties = self._packet.properties
        assert properties is not None
        if properties.authentication_method == METHOD and self._begin(properties.authentication_data or b""):
            return
        if self._client.connection.close_reason is None:
            self._client.login_failed(ReasonCode.BAD_AUTHENTICATION_METHOD, "there is no such authentication method")

    def take(self, packet: packets.Auth) -> None:
        """Take an AUTH."""
        properties = packet.properties or Properties()
        data = properties.authentication_data or b""
        fault = self._fault_in(packet, properties)
        if fault:
            self._client.login_failed(ReasonCode.PROTOCOL_ERROR, f"AUTH: {fault}")
        elif packet.reason_code == ReasonCode.REAUTHENTICATE:
            self._begin(data)
        else:
            self._finish(data)

    def sign(self, properties: Properties) -> None:
        """Add to the properties of the packet that lets the client in what shows the client who we are."""
        properties.authentication_method = METHOD
        properties.authentication_data = self._signature

    def _fault_in(self, packet: packets.Auth, properties: Properties) -> str:
        if properties.authentication_method != METHOD:  # [MQTT-4.12.0-5]
            return "the method is not that of the CONNECT"
        if packet.reason_code == ReasonCode.REAUTHENTICATE:
            return "a login is going on" if self._exchange is not None else ""
        if self._exchange is None or self._verifier is None:
            return "no login is going on that it could continue"
        return ""

    def _begin(self, data: bytes) -> bool:
        """False where there are no users that could come so."""
        admission = self._request.admission
        if not isinstance(admission, Verifiers):
            return False
        exchange = ScramExchange()
        try:
            exchange.first(data)
        except ScramError as error:
            self._refuse(f"SCRAM: {error}")
            return True
        found = admission.verifier(exchange.user)
        if found is None:
            return False
        self._exchange = exchange
        if isinstance(found, Verifier):
            self._challenge(found)
        else:
            self._client.connection.wait_for(found, self._challenge)
        return True

    def _challenge(self, verifier: Verifier) -> None:
        assert self._exchange is not None
        self._verifier = verifier
        properties = Properties(authentication_method=METHOD, authentication_data=self._exchange.challenge(verifier))
        self._client.send_login(encoder.encode_auth(MQTT_5_0, ReasonCode.CONTINUE_AUTHENTICATION, properties))

    def _finish(self, data: bytes) -> None:
        exchange, verifier = self._exchange, self._verifier
        assert exchange is not None
        assert verifier is not None
        self._exchange = self._verifier = None
        try:
            exchange.final(data)
        except ScramError as error:
            self._refuse(f"SCRAM: {error}", exchange.user)
            return
        self._signature = exchange.signature(verifier)
        said = login_of(self._packet, self._client.connection)
        credentials = replace(said, user=exchange.user, password=b"", token="", jwt="", proves=exchange.proves)
        self._request.ask(credentials, self._decided)

    def _decided(self, decision: Decision, held: list[object]) -> None:
        if self.is_open:
            self.is_open = False
            self._client.login_decided(self._packet, decision, held)
            return
        before = self._client.identity
        assert before is not None
        if isinstance(decision, Refusal):
            self._client.login_failed(ReasonCode.NOT_AUTHORIZED, "the login was refused")
        elif (decision.account, decision.user) != (before.account, before.user):
            self._refuse("a login as somebody else", decision.user)
        else:
            properties = Properties()
            self.sign(properties)
            if self._client.send_login(encoder.encode_auth(MQTT_5_0, ReasonCode.SUCCESS, properties)):
                self._client.login_renewed(decision, held)

    def _refuse(self, reason: str, user: str = "") -> None:
        self._request.report(reason, user)
        self._client.login_failed(ReasonCode.NOT_AUTHORIZED, "the login was refused")
