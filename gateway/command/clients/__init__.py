"""The clients that commands speak to servers with: one connection each, on a plain blocking socket."""
