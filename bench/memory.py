"""Resident memory of the daemon and of the link service after many cases.

Every case is a password reset from ticket to closed: requested, approved, reset, mailed; for some the link is opened,
the other links expire unopened after their short life.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Figure, say
from bench.watch import (
    SUBJECTS,
    WIDE_BRAKE,
    approve,
    metric,
    resident_megabytes,
    ticket_of,
    wait_for_polls,
)
from sandbox.stage import Stage, link_in, open_link, wait_for

CASES = 1000
WAVE = 100
OPENED_PER_WAVE = 20
LINK_LIFETIME = "30s"
MOST_SECONDS = 150.0
"""No new wave is begun after this, unless all of it is wanted; what was begun is finished."""

DAEMON_MEGABYTES, LINKS_MEGABYTES = 120, 60


def measure(folder: Path, *, full: bool = False) -> Sequence[Figure]:
    """Drive the cases in waves, for about three minutes.

    Args:
        full: Drive all `CASES`, however long it takes.
    """
    settings = {"brake": WIDE_BRAKE, "links": {"lifetime": LINK_LIFETIME}}
    with Stage(folder, settings=settings) as stage:
        stage.start_all()
        wait_for_polls(stage, 3)
        daemon, links = _now(stage)
        begun, opened, end = 0, 0, time.monotonic() + MOST_SECONDS
        while begun < CASES and (full or time.monotonic() < end):
            opened += _wave(stage)
            begun += WAVE
            say(f"  memory: {begun} cases, daemon {_now(stage)[0]:.0f} MB, link service {_now(stage)[1]:.0f} MB")
        ended = _ended(stage, begun)
        later_daemon, later_links = _now(stage)
    note = f"{ended['closed']} of {begun} cases closed, {opened} links opened; {{:.0f}} MB when started"
    return [
        Figure("daemon", later_daemon, "MB", DAEMON_MEGABYTES, note.format(daemon)),
        Figure("link service", later_links, "MB", LINKS_MEGABYTES, note.format(links)),
    ]


def _wave(stage: Stage) -> int:
    """Raise, approve and open. Returns how many links were opened."""
    stage.control("DELETE", "/mails")
    stage.control("DELETE", "/exchanges")
    tickets = _raise(stage)
    wait_for("the confirmations", lambda: len(_about(stage, tickets)) >= WAVE, seconds=120, every=1.0)
    for ticket in tickets:
        approve(stage, ticket)
    wait_for("the links", lambda: len(_links(stage, tickets)) >= WAVE, seconds=120, every=1.0)
    chosen = list(_links(stage, tickets).values())[:OPENED_PER_WAVE]
    with ThreadPoolExecutor(OPENED_PER_WAVE) as people:
        return sum(status == 200 for status, _ in people.map(open_link, chosen))


def _raise(stage: Stage) -> list[int]:
    tickets: list[int] = []
    for number, subject in enumerate(SUBJECTS):
        count = WAVE // len(SUBJECTS) + (number < WAVE % len(SUBJECTS))
        wish = {"count": count, "type": "Password Reset", "subject": subject}
        tickets += stage.control("POST", "/bulk-tickets", wish)["ids"]
    return tickets


def _about(stage: Stage, tickets: Sequence[int]) -> set[int]:
    return {ticket_of(mail) for mail in stage.mails()} & set(tickets)


def _links(stage: Stage, tickets: Sequence[int]) -> dict[int, str]:
    wanted = set(tickets)
    found = ((ticket_of(mail), link_in(mail)) for mail in stage.mails())
    return {ticket: link for ticket, link in found if link and ticket in wanted}


def _ended(stage: Stage, begun: int) -> Counter[str]:
    """Wait for the end of the last cases, as long as it takes but not for ever; how many are in which state."""

    def states() -> Counter[str]:
        return Counter({name: int(metric(stage, "connector_cases", state=name)) for name in ("closed", "needs_person")})

    try:
        # The daemon counts its cases every 15 s.
        wait_for("every end", lambda: states().total() >= begun, seconds=90, every=1)
    except TimeoutError as failure:
        say(f"  memory: {failure}")
    return states()


def _now(stage: Stage) -> tuple[float, float]:
    return resident_megabytes(stage.pid("connector")), resident_megabytes(stage.pid("links"))
