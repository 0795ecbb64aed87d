"""Attempts to get a reset done that should not happen, or a password to the wrong person. Each must be refused."""
