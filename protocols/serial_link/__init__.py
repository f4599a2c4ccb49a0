"""Serial link: a reliable, ordered byte stream over a UART. README.md is its specification."""
