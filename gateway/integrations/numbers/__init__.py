"""Sinks for numbers: Prometheus remote write and InfluxDB's line protocol."""
