"""User directory: the users of one configuration, found by what a peer says of itself. It never changes."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from gateway.accounts.identity import Credentials
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules, User

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.accounts.certificates import DistinguishedName

NO_RULES = AccountRules(name=DEFAULT_ACCOUNT)


class UserDirectory:
    """`rules` are those of the accounts by name."""

    def __init__(self, config: Config) -> None:
        self.by_name = {user.name: user for user in config.users if user.name}
        self.by_nkey = {user.nkey: user for user in config.users if user.nkey}
        self.rules = {rules.name: rules for rules in config.accounts}
        self._networks = {id(user): tuple(map(ip_network, user.addresses)) for user in config.users if user.addresses}
        self._users = config.users  # Keeps those alive whose id stands above.
        self._distinguished: list[tuple[DistinguishedName, User]] = []
        if config.maps_certificates:
            from gateway.accounts.certificates import parse_name

            for user in config.users:
                name = parse_name(user.name)
                if name is not None:
                    self._distinguished.append((name, user))

    def named(self, name: str) -> User | None:
        """A user by name or by NKey."""
        return self.by_name.get(name) or self.by_nkey.get(name)

    def of_certificate(self, der: bytes, credentials: Credentials) -> User | None:
        """The user that a certificate names and who may come so: first by its e-mail addresses, hosts and URIs, then
        by its subject, whose parts may stand in another order.
        """
        from cryptography.x509 import load_der_x509_certificate

        from gateway.transport.tls_files import UNREADABLE

        try:
            certificate = load_der_x509_certificate(der)
            return next((one for one in self._candidates(certificate) if self.obstacle(one, credentials) is None), None)
        except UNREADABLE:  # Names that it cannot be read to have.
            return None

    def _candidates(self, certificate: "Certificate") -> Iterator[User]:
        from gateway.accounts.certificates import alternative_names, is_reordered, subject_of

        for name in alternative_names(certificate):
            if name in self.by_name:
                yield self.by_name[name]
        subject = subject_of(certificate)
        if not subject:
            return
        yield from (user for name, user in self._distinguished if name == subject)
        yield from (user for name, user in self._distinguished if is_reordered(name, subject))

    def obstacle(self, user: User, credentials: Credentials) -> str | None:
        """Why a user may not come this way, whoever shows its password; None where it may."""
        if user.connection_types and credentials.kind not in user.connection_types:
            return f"the user may not come by {credentials.kind}"
        networks = self._networks.get(id(user))
        if networks is not None and not is_within(credentials.address, networks):
            return "the user may not come from there"
        return None

    def rules_of(self, user: User | None) -> AccountRules:
        """The rules of a user's account; of the default one for somebody without a name."""
        return self.rules.get((user.account if user is not None else "") or DEFAULT_ACCOUNT, NO_RULES)


def is_within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def maps_certificates(listener: Listener | None) -> bool:
    """Whether it is a certificate that says there who somebody is."""
    return listener is not None and listener.tls is not None and listener.tls.verify == "map"
