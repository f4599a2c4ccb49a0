"""Streams on the disk: rows of messages in numbered order, which store-and-forward and streams share."""
