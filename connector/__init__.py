"""Approved password and MFA resets in Microsoft 365, straight from the tickets of a PSA."""
