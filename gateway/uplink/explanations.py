"""Explanations: what went wrong with a link, in words that say where to look."""

# What an error holds, in the words of nats-server, OpenSSL or the kernel, and what that means at the hub or here.
MEANINGS = (
    ("Authorization Violation", "the hub refuses the login; look at user, password, token or credentials"),
    ("Authentication Timeout", "the hub did not hear a login in time"),
    ("Authentication Expired", "the credentials have expired; get new ones"),
    ("Authentication Revoked", "the credentials are revoked; get new ones"),
    ("Duplicate Remote LeafNode", "another box uses this gateway's name at the hub; give each one its own name"),
    ("Loop detected", "the links form a loop; somewhere this gateway's hub is joined to itself"),
    ("same cluster name", "gateway and hub have the same name; change `name` here"),
    ("minimum version required", "the hub wants a newer version of leafnodes"),
    ("maximum account active connections", "the hub's account takes no more leafnodes"),
    ("maximum connections exceeded", "the hub takes no more connections"),
    ("Permissions Violation", "the hub does not permit a subject; look at the rights of its user"),
    ("Maximum Payload Violation", "a message was larger than the hub takes"),
    ("Client Closed", "the hub has closed the connection"),
    ("Stale Connection", "nothing came back from the hub: the path to it is broken"),
    ("Hostname mismatch", "the hub's certificate is for another name; look at server-name"),
    ("IP address mismatch", "the hub's certificate is for another address; look at server-name"),
    ("certificate has expired", "the hub's certificate has expired, or the clock of this machine is wrong"),
    ("certificate is not yet valid", "the hub's certificate is not valid yet, or the clock of this machine is wrong"),
    ("self-signed certificate", "the hub's certificate is from nobody whom this gateway trusts; look at ca"),
    ("unable to get local issuer", "the hub's certificate is from nobody whom this gateway trusts; look at ca"),
    ("certificate required", "the hub wants a certificate of this gateway; set certificate and key"),
    ("WRONG_VERSION_NUMBER", "the hub does not speak TLS on this port"),
    ("Connection refused", "nobody listens there; the hub is not running, or the port is wrong"),
    ("No route to host", "there is no way to the hub's network"),
    ("Network is unreachable", "this machine has no network"),
    ("Name or service not known", "the hub's name is unknown; look at it and at DNS"),
    ("Temporary failure in name resolution", "the name server does not answer; is there a network?"),
    ("No address associated with hostname", "the hub's name has no address; look at it and at DNS"),
    (" 407 ", "the proxy wants user and password, or refuses them"),
    ("Proxy Authentication Required", "the proxy wants user and password, or refuses them"),
)


def explain(error: str, peer: str = "hub") -> str:
    """The error with what it means before it, where that is known. `peer` is what the other end is called."""
    for words, meaning in MEANINGS:
        if words in error:
            return f"{meaning.replace('hub', peer)} ({error})"
    return error


def printable(text: str) -> str:
    """What another end said, as it may go to people's terminals: without what moves their cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
