"""From the moment a person sees the password until the ticket is closed in the PSA, with the default poll interval.

The reveals come one by one at random moments, so that they fall anywhere between two polls.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, median, percentile, say
from bench.watch import REQUESTER, SUBJECTS, WIDE_BRAKE, approve, ready_mail
from sandbox.stage import Stage, link_in, open_link, wait_for

POLL_SECONDS = 15
ALLOWED_SECONDS = 1.0
BETWEEN_REVEALS = (0.5, 3.0)


def measure(folder: Path) -> Sequence[Figure]:
    """Measure a reveal of each account. About a minute."""
    with Stage(folder, settings={"brake": WIDE_BRAKE, "poll_every": f"{POLL_SECONDS}s"}) as stage:
        stage.start_all()
        tickets = [stage.raise_ticket("Password Reset", subject, REQUESTER) for subject in SUBJECTS]
        wait_for("every confirmation", lambda: len(stage.mails()) >= len(tickets), seconds=120, every=0.2)
        for ticket in tickets:
            approve(stage, ticket)
        links = {ticket: link_in(ready_mail(stage, ticket)) for ticket in tickets}
        chance = random.Random(20261122)
        waits = []
        for ticket, link in links.items():
            time.sleep(chance.uniform(*BETWEEN_REVEALS))
            waits.append(_reveal_to_closed(stage, ticket, link))
    say(f"  reveals, poll every {POLL_SECONDS} s: {', '.join(f'{wait:.2f}' for wait in sorted(waits))}")
    note = f"{len(waits)} reveals, poll every {POLL_SECONDS} s"
    return [
        Figure("reveal to closed ticket: p50", median(waits), "s", None, note),
        Figure("reveal to closed ticket: p95", percentile(waits, 0.95), "s", ALLOWED_SECONDS, note),
    ]


def _reveal_to_closed(stage: Stage, ticket: int, link: str) -> float:
    status, _ = open_link(link)
    if status != 200:
        raise RuntimeError(f"the link of ticket {ticket} shows nothing ({status})")
    started = time.monotonic()
    wait_for(f"the end of {ticket}", lambda: stage.ticket(ticket)["status"] == "Closed", seconds=60, every=0.02)
    return time.monotonic() - started
