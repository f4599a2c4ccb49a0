"""What went wrong in TLS, in words for the log."""

import ssl

WORDS = {
    "HTTP_REQUEST": "the peer speaks HTTP, not TLS",
    "HTTPS_PROXY_REQUEST": "the peer speaks HTTP, not TLS",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "UNKNOWN_PROTOCOL": "the peer does not speak TLS",
    "RECORD_LAYER_FAILURE": "the peer does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "the peer speaks older versions of TLS only",
    "NO_SHARED_CIPHER": "there is no cipher that both sides take",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer sent no certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority of our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not take our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not take our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer takes our certificate for expired",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer asks for a certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer does not speak this version of TLS",
    "TLSV1_ALERT_DECRYPT_ERROR": "the peer could not verify a signature, or shares another key",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "a record is damaged, or the keys differ",
    "CALLBACK_FAILED": "the peer asks for a name that is none",
    "UNEXPECTED_EOF_WHILE_READING": "the peer left",
}


def reason_of(error: ssl.SSLError) -> str:
    """One line, without the names that OpenSSL gives its source files."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return WORDS["UNEXPECTED_EOF_WHILE_READING"]
    code = error.reason or ""
    return WORDS.get(code) or code.lower().replace("_", " ") or "failed"
