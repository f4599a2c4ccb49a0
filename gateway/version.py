"""What this build of leafgate is: its version, and whether the data plane was compiled."""

import protocols.message

# The only place that names the version; the build back end reads it from here.
VERSION = "0.1.0"
# Clients switch features on by the server version: this is the nats-server whose client protocol we speak.
SPOKEN_VERSION = "2.15.1"


def form_name() -> str:
    """`pure` when the hot modules run as Python source, else `compiled`."""
    return "pure" if str(protocols.message.__file__).endswith(".py") else "compiled"
