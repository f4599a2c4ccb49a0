"""The configuration: its schema, its file, addresses."""
