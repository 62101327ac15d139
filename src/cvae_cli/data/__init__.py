"""Data sets: pictures and their conditions, as arrays."""
