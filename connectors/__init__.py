"""Connectors: one package per vendor, found by entry point; each imports the ports, model and errors only."""
