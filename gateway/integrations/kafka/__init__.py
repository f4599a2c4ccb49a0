"""Kafka: messages that become records of topics, and records that become messages."""
