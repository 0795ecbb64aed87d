"""What the connector counts, for Prometheus. A module of its own: the link service counts nothing, and does without."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PASSES = Counter("connector_passes_total", "Passes over cases", ["result"])
PASS_SECONDS = Histogram("connector_pass_seconds", "Duration of a pass over one case")
POLLS = Counter("connector_polls_total", "Polls", ["poll", "result"])
POLL_SECONDS = Histogram("connector_poll_seconds", "Duration of a poll", ["poll"])
CASES = Gauge("connector_cases", "Cases by state", ["state"])
DOWN = Gauge("connector_system_down", "1 while a system refuses us or cannot be reached", ["system"])
PAUSED = Gauge("connector_paused", "1 while writing to accounts is paused")
PUSHES = Counter("connector_pushes_total", "Pushes of PSAs", ["psa", "result"])
PUSH_TO_PASS_SECONDS = Histogram("connector_push_to_pass_seconds", "From a push until the pass that it called for")
ALARMS = Counter("connector_alarms_total", "Somebody said: this was not me")
BUGS = Counter("connector_bugs_total", "Unexpected exceptions")
