"""The forward protocol of Fluentd and Fluent Bit, version 1: events in chunks, acknowledged; for both ends. No I/O."""
