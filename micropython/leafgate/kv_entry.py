"""What a bucket has for a key."""


class Entry:
    """`operation` is "PUT", or "DEL" or "PURGE" where the value is gone; `revision` counts through the whole bucket."""

    def __init__(self, key, value, revision, headers):
        self.key = key
        self.value = value
        self.revision = revision
        # The server's own markers, of what grew too old, have no operation.
        self.operation = headers.get("KV-Operation") or ("DEL" if "Nats-Marker-Reason" in headers else "PUT")
