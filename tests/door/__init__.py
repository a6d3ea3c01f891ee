"""The HTTP door, tested through the wire: the function app, its host, a sandbox behind it."""
