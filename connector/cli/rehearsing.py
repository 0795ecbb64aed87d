"""`connector rehearse`: past tickets through the rules of today, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from connector.cli.printing import counted, plain, print_json, print_table
from connector.errors import ConfigError

if TYPE_CHECKING:
    from connector.core.rehearsal import Rehearsed

COLOURS = {"reset": "green", "hand-off": "yellow", "approval void": "yellow", "held by the brake": "yellow",
           "not readable": "red"}  # fmt: skip


def read_since(text: str, *, now: datetime) -> datetime:
    """A length of time back from now, or a day in UTC.

    Raises:
        ConfigError: It is neither, or it lies ahead.
    """
    from connector.config.values import read_duration

    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        try:
            start = now - read_duration(text)
        except (ValueError, OverflowError):
            problem = f"--since {text!r}: write a length of time such as 30d, or a day such as 2026-11-01."
            raise ConfigError(problem) from None
    if start > now:
        raise ConfigError(f"--since {text}: this day has not come yet. Name one in the past.")
    return start


def print_rehearsal(done: Sequence[Rehearsed], *, since: datetime, as_json: bool) -> None:
    """The table and its sums, or the same as JSON."""
    fates = Counter(one.fate.value for one in done)
    codes = Counter(one.code for one in done if one.code)
    if as_json:
        print_json({"since": since.isoformat(), "tickets": [_facts(one) for one in done], "fates": dict(fates),
                     "refusals": dict(codes)})  # fmt: skip
        return
    if not done:
        typer.echo(f"No ticket of a mapped type was raised since {since.astimezone():%d %b %Y}.")
        return
    print_table(
        ("ticket", "at", "action", "account", "approved by", "would have been", "why"),
        [
            (
                f"{one.psa}:{one.number}",
                f"{one.at.astimezone():%d %b %H:%M}",
                one.action.value if one.action else "?",
                one.subject or "?",
                ", ".join(person.email or person.name for person in one.approvers),
                one.fate.value,
                one.why,
            )
            for one in done
        ],
        colours=COLOURS,
    )
    typer.echo(f"\n{counted(len(done), 'ticket')} since {since.astimezone():%d %b %Y}: "
               + ", ".join(f"{count} {fate}" for fate, count in fates.most_common()) + ".")  # fmt: skip
    if codes:
        typer.echo("Reasons: " + ", ".join(f"{count} {code}" for code, count in codes.most_common()) + ".")
    typer.echo(
        "Accounts and addresses were read as they are today, and a closed ticket shows only what is left of its "
        "approval. Nothing was changed."
    )


def show_progress(done: int, of: int) -> None:
    """On standard error, so that a table or JSON stays whole."""
    if done == of or done % 20 == 0:
        typer.echo(f"read {done} of {counted(of, 'ticket')}", err=True)


def _facts(one: Rehearsed) -> dict[str, object]:
    return {
        "ticket": f"{one.psa}:{one.number}",
        "at": one.at.isoformat(),
        "action": one.action.value if one.action else None,
        "subject": one.subject,
        "tenant": one.tenant,
        "requester": one.requester.email if one.requester else None,
        "approvers": [person.email or person.name for person in one.approvers],
        "fate": one.fate.value,
        "code": one.code,
        "why": plain(one.why),
    }
