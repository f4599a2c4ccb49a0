"""A sink for events: Fluentd, Fluent Bit, and whatever speaks their forward protocol."""
