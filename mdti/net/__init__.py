"""Talking HTTP to other people's APIs: time limits, throttling, one transport, paging."""
