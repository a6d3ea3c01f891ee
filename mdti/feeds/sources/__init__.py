"""The places that indicators come from, each behind the port `mdti.feeds.ports.Source`."""
