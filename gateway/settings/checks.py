"""What several tables ask of a value. Each check raises KeyedValueError for the key that it is given."""

from collections.abc import Iterable
from ipaddress import ip_network

from gateway.settings.addresses import split_full_address
from gateway.settings.file import KeyedValueError
from protocols.subject_template import SubjectTemplate
from protocols.subjects import is_valid_filter


def check_address(key: str, address: str, example: str = "127.0.0.1:4222") -> None:
    """An address has a host and a port."""
    try:
        split_full_address(address, example)
    except ValueError as error:
        raise KeyedValueError(key, str(error)) from None


def check_networks(key: str, networks: Iterable[str]) -> None:
    """Each is an IP address or a network of them."""
    for index, network in enumerate(networks):
        try:
            ip_network(network)
        except ValueError as error:
            raise KeyedValueError(f"{key}[{index}]", f"{error}; write 10.0.0.7 or 10.0.0.0/8") from None


def check_filter(key: str, subject: str, example: str = "sensors.>") -> None:
    """It is a subject, with wildcards or without."""
    if " " in subject or not is_valid_filter(subject.encode()):
        raise KeyedValueError(key, f"{subject!r} is no subject; write it as {example}")


def check_unique(places: dict[str, str], name: str, place: str) -> None:
    """No name is there twice: `places` has where each stands, and is told of this one."""
    if name and name in places:
        raise KeyedValueError(place, f"{name} is at {places[name]} too")
    places[name] = place


def check_template(key: str, text: str, name: str = "subject", others: tuple[str, ...] = ()) -> None:
    """It is a template of what is called `name`, in which `others` may be named, too."""
    try:
        SubjectTemplate(text, name, others)
    except ValueError as error:
        raise KeyedValueError(key, str(error)) from None
