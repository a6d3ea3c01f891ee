"""From a Sentinel incident, an IP, a domain or a URL to the threat actors behind it."""

__version__ = "0.1.0"
