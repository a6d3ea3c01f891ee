"""Microsoft's storage emulator, for tests."""
