"""Where indicators go: one module per vendor, each a `Destination` of `mdti.feeds.ports`."""
