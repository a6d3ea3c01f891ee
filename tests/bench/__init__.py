"""Measurements, each a command of its own; none is collected as a test."""
