"""Data plane: match subjects, append to outboxes, flush. Plain functions: no await, no log line."""
