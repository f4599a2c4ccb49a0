"""What one account may import of another, by their tokens: an export is open to it, or an activation token opens it."""

from gateway.accounts.claim_rules import exporter_subject
from gateway.accounts.jwt import AccountClaims, ActivationClaims, Export, Import, JwtError, decode, is_revoked
from protocols.subjects import is_subset


def check_import(one: Import, importer: str, exporter: AccountClaims, now: float) -> float:
    """Until when an account may import this (seconds since 1970; 0: as long as it is exported). Raises JwtError."""
    subject = exporter_subject(one)
    export = _export_of(exporter, one.type, subject)
    if export is None:
        raise JwtError("the other account exports no such thing")
    position = export.account_token_position
    if position:
        tokens = subject.split(".")
        if position > len(tokens) or tokens[position - 1] != importer:
            raise JwtError(f"token {position} of its subject must be the account that imports it")
        return 0.0
    if not export.token_req:
        return 0.0
    if not one.token:
        raise JwtError("it is private, and there is no activation token")
    act = decode(one.token, ActivationClaims)
    act.check_time(now)
    said = act.activation
    if exporter.subject not in (act.issuer, said.issuer_account):
        raise JwtError("the activation token is of another account")
    if act.issuer != exporter.subject and act.issuer not in _keys_of(exporter):
        raise JwtError("the activation token is signed by no key of the account that exports it")
    if act.subject != importer:
        raise JwtError("the activation token is for another account")
    if said.kind != one.type or not is_subset(subject.encode(), said.subject.encode()):
        raise JwtError("the activation token is for another subject")
    if is_revoked(export.revocations, act.subject, act.issued_at):
        raise JwtError("the activation token is revoked")
    return float(act.expires)


def _export_of(exporter: AccountClaims, kind: str, subject: str) -> Export | None:
    """The export of this very subject, or else one that holds it."""
    ours = [one for one in exporter.account.exports if one.type == kind]
    exact = [one for one in ours if one.subject == subject]
    wider = [one for one in ours if is_subset(subject.encode(), one.subject.encode())]
    return next(iter(exact or wider), None)


def _keys_of(claims: AccountClaims) -> set[str]:
    return {key if isinstance(key, str) else key.key for key in claims.account.signing_keys}
