"""Whether the directory shows what it accepted.

A write that Entra accepts reaches its replicas some time later, and no figure for that is documented
(github.com/microsoftgraph/msgraph-bicep-types/issues/193, read 2026-11-22). So what is read back at once may be old,
and its times are of Microsoft's clock: the only thing compared is one reading with an earlier one of the same property.
Nothing waits for this; what is still missing after the last look is told to the agent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connector.core.case import Proof
from connector.core.ports import Account, SessionsReport

PASSWORD = "the new password"  # noqa: S105 - the name of it
SESSIONS = "the end of the sessions"
LOOKS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=8))
"""How long after the write, and then after each look, it is looked again."""


def open_proof(before: Account, after: SessionsReport, *, password: bool, now: datetime) -> Proof | None:
    """What is still to be shown after a write; `None` when everything was, or when the directory tells no times.

    Args:
        before: The account as read right before the write.
        after: What was read back with the end of the sessions.
        password: A password was set, too.
    """
    missing = _missing(
        (PASSWORD, before.password_set_at, after.password_set_at, password),
        (SESSIONS, before.sessions_valid_from, after.sessions_valid_from, True),
    )
    if not missing:
        return None
    return Proof(
        missing=missing,
        look_at=now + LOOKS[0],
        password_was=before.password_set_at,
        sessions_were=before.sessions_valid_from,
    )


def look_again(proof: Proof, account: Account | None, *, now: datetime) -> Proof | None:
    """The proof after another reading; `None` when nothing is missing any more.

    Args:
        account: `None` when it could not be read.
    """
    missing = proof.missing
    if account is not None:
        missing = _missing(
            (PASSWORD, proof.password_was, account.password_set_at, PASSWORD in proof.missing),
            (SESSIONS, proof.sessions_were, account.sessions_valid_from, SESSIONS in proof.missing),
        )
    if not missing:
        return None
    looks = proof.looks + 1
    return Proof(
        missing=missing,
        look_at=now + LOOKS[min(looks, len(LOOKS) - 1)],
        password_was=proof.password_was,
        sessions_were=proof.sessions_were,
        looks=looks,
    )


def is_given_up(proof: Proof) -> bool:
    """Whether it was looked for often enough."""
    return proof.looks >= len(LOOKS)


def shown(before: Account, after: SessionsReport, *, password: bool) -> bool:
    """Whether the directory showed everything at once, by its own times."""
    wanted = [(before.sessions_valid_from, after.sessions_valid_from)]
    if password:
        wanted.append((before.password_set_at, after.password_set_at))
    return all(_moved(was, now) for was, now in wanted)


def _missing(*wanted: tuple[str, datetime | None, datetime | None, bool]) -> tuple[str, ...]:
    return tuple(
        what
        for what, was, now, counts in wanted
        if counts and not _moved(was, now) and not (was is None and now is None)  # it tells no time at all
    )


def _moved(was: datetime | None, now: datetime | None) -> bool:
    return now is not None and (was is None or now > was)
