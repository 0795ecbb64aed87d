"""From the approval recorded in the PSA to *Password ready* accepted by the mail server, 50 ms per call.

Both moments are taken from the sandbox's one clock. The approvals come one by one at random moments, so that they
fall anywhere between two polls.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bench.figures import Figure, median, percentile, say
from bench.watch import REQUESTER, SUBJECTS, WIDE_BRAKE, approve, approved_at, ticket_of
from sandbox.stage import Stage, link_in, wait_for

CALL_MILLISECONDS = 50
RESETS = 40
INTERVALS = (1, 5)
ALLOWED_SECONDS = 1.0
BETWEEN_APPROVALS = (0.3, 0.9)


def measure(folder: Path) -> Sequence[Figure]:
    """Measure `RESETS` resets for each poll interval. About two minutes."""
    return [figure for seconds in INTERVALS for figure in _measure(folder / f"every-{seconds}s", seconds)]


def _measure(folder: Path, interval: int) -> Sequence[Figure]:
    with Stage(folder, settings={"brake": WIDE_BRAKE, "poll_every": f"{interval}s"}) as stage:
        stage.start_all()
        stage.control("POST", "/latency", {"ms": CALL_MILLISECONDS})
        tickets = [stage.raise_ticket("Password Reset", SUBJECTS[number % len(SUBJECTS)], REQUESTER)
                   for number in range(RESETS)]  # fmt: skip
        wait_for("every confirmation", lambda: len(stage.mails()) >= RESETS, seconds=120, every=0.2)
        time.sleep(interval + 1)  # our own notes come back as changes at the next poll; let that settle
        chance = random.Random(20261122)
        for ticket in tickets:
            approve(stage, ticket)
            time.sleep(chance.uniform(*BETWEEN_APPROVALS))
        wait_for("every link", lambda: len(_ready(stage)) >= RESETS, seconds=120, every=0.2)
        ready = _ready(stage)
        waits = [(ready[ticket] - approved_at(stage, ticket)).total_seconds() for ticket in tickets]
    say(f"  latency, poll every {interval} s: {', '.join(f'{wait:.1f}' for wait in sorted(waits))}")
    note = f"{len(waits)} resets, {CALL_MILLISECONDS} ms per call"
    return [
        Figure(f"poll every {interval} s: p50", median(waits), "s", None, note),
        Figure(f"poll every {interval} s: p95", percentile(waits, 0.95), "s", interval + ALLOWED_SECONDS, note),
        Figure(f"poll every {interval} s: slowest", max(waits), "s", None, note),
    ]


def _ready(stage: Stage) -> dict[int, datetime]:
    """When the first mail with a link of each ticket was accepted."""
    found: dict[int, datetime] = {}
    for mail in stage.mails():
        if link_in(mail):
            found.setdefault(ticket_of(mail), datetime.fromisoformat(mail["at"]))
    return found
