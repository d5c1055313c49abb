"""Connectors: one package per vendor, found by entry point; each may import the ports, the model and the errors only."""
