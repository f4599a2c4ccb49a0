"""`leafgate stream`, `kv` and `object`: over JetStream's API, with a gateway or a nats-server."""
