"""Tests that need 8 devices. `tests/test_sharding.py` runs them in a process that has as many virtual ones."""
