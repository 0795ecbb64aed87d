"""Adapters to ticket systems: each translates one vendor's words into `connector.core.ports` and back."""
