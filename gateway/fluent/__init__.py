"""Those who bring events by the forward protocol: Fluent Bit, Fluentd, loggers of applications."""
