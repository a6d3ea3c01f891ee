"""The stand-ins for the clouds, tested over HTTP."""
