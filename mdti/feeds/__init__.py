"""Indicator feeds: any source to any destination, nothing lost, nothing foreign deleted."""
