"""Readings: who reads an image again, and the cache in the log of what was read."""
