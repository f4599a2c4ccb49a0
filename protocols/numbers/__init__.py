"""Numbers out of payloads, and the forms in which databases of time series take them. No I/O."""
