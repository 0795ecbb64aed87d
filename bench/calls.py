"""Outside calls of one reset, from the approval to *Password ready* and to the closed ticket, with warm tokens.

The polls of the PSA are left out here: one call looks after all tickets at once, see `bench.idle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure
from bench.watch import (
    REQUESTER,
    WIDE_BRAKE,
    Calls,
    approve,
    counted,
    links_called,
    ready_mail,
    start_counting,
    wait_for_polls,
)
from sandbox.stage import Stage, link_in, open_link, wait_for

LIST = "GET /api/tickets"
READ = "GET /api/tickets/{id}"
NOTE = "POST /api/actions"
MOVE = "POST /api/tickets"
METHODS = 3
"""Dana's: an authenticator app, a phone, an e-mail address."""


def measure(folder: Path) -> Sequence[Figure]:
    """Count them. About 50 seconds."""
    with Stage(folder, settings={"brake": WIDE_BRAKE}) as stage:
        stage.start_all()
        # Her directory entry has another address, as `notify_subject: alternate_mail` likes it; without one the notice
        # costs a look at the manager more, after the requester's mail.
        stage.control("PATCH", "/accounts/zoe@contoso.com", {"properties": {"otherMails": ["zoe@home.example"]}})
        _password(stage, "emil@contoso.com")  # fills every cache
        _methods(stage, "sam@contoso.com")
        return [*_password(stage, "zoe@contoso.com"), *_methods(stage, "dana@contoso.com")]


def _password(stage: Stage, subject: str) -> Sequence[Figure]:
    ticket = _waiting(stage, "Password Reset", subject)
    links = links_called(stage)
    start_counting(stage)
    approve(stage, ticket)
    mail = ready_mail(stage, ticket)
    wait_for("the note on it", lambda: counted(stage).at(NOTE), every=0.02)
    wait_for_polls(stage, 2)
    ready = counted(stage)
    open_link(link_in(mail))
    _closed(stage, ticket)
    closed = counted(stage)
    return [
        Figure("password reset: Graph", closed.of("graph"), "calls", 3, "batch of look-ups, password, sessions"),
        Figure(
            "password reset: link service",
            links_called(stage) - links,
            "calls",
            3,
            "the link, an alarm for each of two mails; reading events not counted",
        ),
        Figure("password reset: PSA until Password ready", _own(ready), "calls", 4, _words(ready)),
        Figure("password reset: PSA until closed", _own(closed), "calls", 4, _words(closed)),
        Figure("password reset: mails", closed.of("smtp"), "mails", None, "approved, ready, notice, accessed"),
    ]


def _methods(stage: Stage, subject: str) -> Sequence[Figure]:
    ticket = _waiting(stage, "MFA Reset", subject)
    start_counting(stage)
    approve(stage, ticket)
    _closed(stage, ticket)
    calls = counted(stage)
    removed = sum(count for name, count in calls.calls.items() if name.startswith("DELETE /v1.0/"))
    aim = 2 + METHODS + 1
    note = (
        f"{calls.at('POST /v1.0/$batch')} batch of look-ups, "
        f"{calls.at('GET /v1.0/users/{id}/authentication/methods')} lists, {removed} removals, 1 for sessions"
    )
    return [
        Figure(f"MFA reset with {METHODS} methods: Graph", calls.of("graph"), "calls", aim, note),
        Figure("MFA reset: PSA until closed", _own(calls), "calls", 4, _words(calls)),
        Figure("MFA reset: mails", calls.of("smtp"), "mails", None, "approved, done, notice"),
    ]


def _waiting(stage: Stage, kind: str, subject: str) -> int:
    """A recognised ticket that nothing is done for any more until it is approved."""
    ticket = stage.raise_ticket(kind, subject, REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(ticket))
    wait_for_polls(stage, 4)
    return ticket


def _closed(stage: Stage, ticket: int) -> None:
    wait_for("the end", lambda: stage.ticket(ticket)["status"] == "Closed", seconds=60)
    wait_for_polls(stage, 3)  # what it may still owe


def _own(calls: Calls) -> int:
    """Calls to the PSA for this ticket."""
    return calls.of("halo") - calls.at(LIST)


def _words(calls: Calls) -> str:
    return f"{calls.at(READ)} reads, {calls.at(NOTE)} notes, {calls.at(MOVE)} moves; {calls.at(LIST)} polls left out"
