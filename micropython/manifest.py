# Freezes the client into a firmware: include("/path/to/micropython/manifest.py") in the board's own manifest.
metadata(description="NATS and serial-link client of leafgate", version="0.1.0")
package("leafgate")
