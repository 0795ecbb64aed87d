"""Measurements: how many calls, how long, how much memory. `python -m bench` prints them; nothing here asserts.

The connector and its link service run as real processes against the sandbox; nothing of them is imported. A figure
says what was measured on this machine, now: the counts are exact, the times and sizes depend on what else it does.
"""
