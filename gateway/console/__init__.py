"""The console: a web page that shows the gateway, and the subjects that it asks."""
