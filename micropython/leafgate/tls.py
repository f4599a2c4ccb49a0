"""TLS over a stream that is open already: NATS begins in the clear, with INFO.

What `tls` may be, here and as an option of the client:
the CA's certificate as DER bytes: the server must have one of it, for the host name of the URL;
True: encrypted, but anybody can pretend to be the server, so passwords and tokens are not safe;
an SSLContext, of `psk` below or with a client's certificate: it decides.
Without any of these (None) a server or a URL that wants TLS is refused. PEM becomes DER with
`openssl x509 -in ca.pem -outform der -out ca.der`. Firmware that looks at the dates of certificates needs its clock set
before (leafgate.clock, over a connection without TLS).
"""

import tls as _tls
from asyncio import StreamReader


def verified(ca):
    """An SSLContext that trusts one CA, given as DER."""
    context = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = _tls.CERT_REQUIRED
    context.load_verify_locations(ca)
    return context


def psk(identity, key):
    """An SSLContext for TLS-PSK (bytes both), which needs no certificates. AttributeError: not in this firmware."""
    context = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = _tls.CERT_NONE
    context.psk_identity = identity
    context.psk_key = key
    # A suite with certificates would let in a server that does not know the key.
    context.set_ciphers([name for name in context.get_ciphers() if "-PSK-" in name])
    return context


async def upgrade(stream, host, tls):
    """The stream that continues `stream`, an asyncio stream over a socket.

    ValueError from its first write or read: the server is not the one. OSError: no TLS there, or no `tls` here.
    """
    if tls is True:
        tls = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
        tls.verify_mode = _tls.CERT_NONE
    elif not hasattr(tls, "wrap_socket"):
        if not tls:
            raise OSError("TLS needs tls=: the CA's certificate, or True to trust anybody")
        tls = verified(tls)
    # The handshake goes on with the first write; then everything else does not wait for it.
    sock = tls.wrap_socket(stream.s, server_hostname=host, do_handshake_on_connect=False)
    sock.setblocking(False)
    return StreamReader(sock)
