"""NATS client protocol, server and client role."""
