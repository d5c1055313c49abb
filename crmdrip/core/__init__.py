"""The pure core: what to do, decided from values alone. No clock, no I/O, no randomness."""
