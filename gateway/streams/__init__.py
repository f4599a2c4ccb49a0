"""Streams: JetStream's API on the gateway's own disk."""
