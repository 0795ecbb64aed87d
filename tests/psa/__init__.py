"""Adapters to ticket systems, each against its contract and its own oddities."""
