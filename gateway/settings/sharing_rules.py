"""What accounts may share with each other: rules between their tables. Each raises KeyedValueError with a sentence."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.settings.checks import check_unique
from gateway.settings.file import KeyedValueError
from gateway.settings.security import AccountRules, Destination, Export, Import
from protocols.subject_transform import SubjectTransform, numbered
from protocols.subjects import is_subset, is_valid_filter, overlaps

# What the gateway answers in each account, and the subjects of answers on their way.
RESERVED = (b"$LEAFGATE.", b"$SYS.", b"_R_.")


def import_transform(rules: Import) -> SubjectTransform:
    """What makes the exporter's subjects into those that the importer knows; it can be reversed. Raises ValueError."""
    source = (rules.stream or rules.service).encode()
    if rules.prefix:
        return SubjectTransform(source, b"%b.%b" % (rules.prefix.encode(), numbered(source)), True)
    return SubjectTransform(source, numbered(rules.to.encode() or source), True)


def export_of(exporter: AccountRules, importer: str, rules: Import) -> Export | None:
    """The export that an import takes from; None where it is not allowed to."""
    wanted = (rules.stream or rules.service).encode()
    for export in exporter.exports:
        offered = (export.stream if rules.stream else export.service).encode()
        if offered and is_subset(wanted, offered) and is_open_to(export, importer, wanted):
            return export
    return None


def is_open_to(export: Export, importer: str, wanted: bytes) -> bool:
    if export.accounts and importer not in export.accounts:
        return False
    position = export.account_token_position
    tokens = wanted.split(b".")
    return not position or (position <= len(tokens) and tokens[position - 1] == importer.encode())


def check_accounts(accounts: Sequence[AccountRules], others: Sequence[str] = ()) -> None:
    """All that accounts say of each other. `others` are accounts too, of which nothing is said."""
    places: dict[str, str] = {}
    for index, account in enumerate(accounts):
        check_unique(places, account.name, f"accounts[{index}].name")
    named = {account.name: account for account in accounts}
    for name in others:
        named.setdefault(name, AccountRules(name=name))
    for index, account in enumerate(accounts):
        place = f"accounts[{index}]"
        for number, export in enumerate(account.exports):
            _check_export(f"{place}.exports[{number}]", export, named)
        for number, rules in enumerate(account.imports):
            _check_import(f"{place}.imports[{number}]", account.name, rules, named)
        for source, wanted in account.mappings.items():
            _check_mapping(f"{place}.mappings", source, wanted)
    _check_cycles(accounts)


def _check_export(place: str, export: Export, named: dict[str, AccountRules]) -> None:
    for name in export.accounts:
        if name not in named:
            raise KeyedValueError(f"{place}.accounts", f"there is no account {name!r}")
    offered = (export.stream or export.service).encode()
    if offered.startswith(RESERVED):
        raise KeyedValueError(f"{place}.{_kind(export)}", "the gateway answers these subjects in each account")
    if export.account_token_position:
        tokens = offered.split(b".")
        if export.account_token_position > len(tokens) or tokens[export.account_token_position - 1] != b"*":
            raise KeyedValueError(
                f"{place}.account-token-position", f"token {export.account_token_position} of the subject must be *"
            )
    if export.latency is not None and not export.service:
        raise KeyedValueError(f"{place}.latency", "only a service has one")


def _check_import(place: str, importer: str, rules: Import, named: dict[str, AccountRules]) -> None:
    wanted = rules.stream or rules.service
    if rules.account not in named:
        raise KeyedValueError(f"{place}.account", f"there is no account {rules.account!r}")
    if rules.account == importer:
        raise KeyedValueError(f"{place}.account", "an account does not import from itself")
    if export_of(named[rules.account], importer, rules) is None:
        raise KeyedValueError(
            f"{place}.{_kind(rules)}", f"account {rules.account!r} does not export {wanted!r} to {importer!r}"
        )
    if rules.prefix and (not is_valid_filter(rules.prefix.encode()) or set(rules.prefix.split(".")) & {"*", ">"}):
        raise KeyedValueError(f"{place}.prefix", f"{rules.prefix!r} is no subject without wildcards")
    try:
        transform = import_transform(rules)
    except ValueError as error:
        raise KeyedValueError(f"{place}.to", str(error)) from None
    if transform.pattern.startswith(RESERVED):
        raise KeyedValueError(
            f"{place}.{'prefix' if rules.prefix else 'to' if rules.to else _kind(rules)}",
            "the gateway answers these subjects in each account",
        )


def _check_mapping(place: str, source: str, wanted: str | tuple[Destination, ...]) -> None:
    destinations = (Destination(to=wanted),) if isinstance(wanted, str) else wanted
    key = f"{place}.{source!r}"
    if not destinations:
        raise KeyedValueError(key, "a destination is needed")
    if sum(one.weight for one in destinations) > 100:
        raise KeyedValueError(key, "the weights are more than 100 in all")
    if len({one.to for one in destinations}) < len(destinations):
        raise KeyedValueError(key, "a destination is there twice")
    for one in destinations:
        try:
            SubjectTransform(source.encode(), one.to.encode())
        except ValueError as error:
            raise KeyedValueError(key, str(error)) from None


class Passage(NamedTuple):
    """An import: what comes out of `exporter` on `source` is known to `importer` as `local`."""

    place: str
    importer: str
    exporter: str
    source: bytes
    local: bytes


def _check_cycles(accounts: Sequence[AccountRules]) -> None:
    """No stream comes back to where it began, and no request; each kind on its own."""
    for is_stream in (True, False):
        passages = [
            Passage(
                f"accounts[{index}].imports[{number}]",
                account.name,
                rules.account,
                (rules.stream or rules.service).encode(),
                import_transform(rules).pattern,
            )
            for index, account in enumerate(accounts)
            for number, rules in enumerate(account.imports)
            if bool(rules.stream) is is_stream
        ]
        following = {one: [other for other in passages if _follows(one, other, is_stream)] for one in passages}
        done: set[Passage] = set()
        for start in passages:
            _walk(start, following, done)


def _walk(start: Passage, following: dict[Passage, list[Passage]], done: set[Passage]) -> None:
    """Follow the imports from one on, depth first; each is left once."""
    path: list[Passage] = []
    waiting = [(start, False)]
    while waiting:
        passage, is_left = waiting.pop()
        if is_left:
            path.pop()
            done.add(passage)
        elif passage in path:
            names = [one.importer for one in path[path.index(passage) :]] + [passage.importer]
            raise KeyedValueError(passage.place, f"the imports form a cycle: {' -> '.join(names)}")
        elif passage not in done:
            path.append(passage)
            waiting.append((passage, True))
            waiting += [(one, False) for one in following[passage]]


def _follows(one: Passage, other: Passage, is_stream: bool) -> bool:
    """Whether what goes through one import can go through the other one next."""
    if is_stream:
        return other.exporter == one.importer and overlaps(one.local, other.source)
    return other.importer == one.exporter and overlaps(one.source, other.local)


def _kind(rules: Export | Import) -> str:
    return "stream" if rules.stream else "service"
