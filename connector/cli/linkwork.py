"""`links list`, `links revoke`, `links accept-history`: what a person does with links that are out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.beginning import JsonOption, load, open_cases
from connector.cli.casework import CLAIM_PATIENCE, find
from connector.cli.printing import counted, print_json, print_table
from connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from connector.core.case import Case
    from connector.secretlink.client_answers import ListedLink
    from connector.store import SqlCaseStore

STATES = ("active", "consumed", "expired", "revoked")
EVERY = "all"


def list_links(
    context: typer.Context,
    state: Annotated[str, typer.Option("--state", help=f"{', '.join(STATES)}, or all.")] = "active",
    as_json: JsonOption = False,
) -> None:
    """List the one-time links that are out, never with their addresses."""
    from connector.secretlink.client_answers import ListingLinks
    from connector.wiring import build_adapters, present

    if state not in (*STATES, EVERY):
        raise ConfigError(f"--state: {state!r} is none. Use any of: {', '.join((*STATES, EVERY))}.")
    settings, place = load(context)
    service = build_adapters(settings, place).links
    if not isinstance(service, ListingLinks):
        raise ConnectorError(
            f"links.kind {settings.links.kind}: this link service gives us no list of its links. The cases whose link "
            "is out are in: connector cases"
        )
    with open_cases(context) as store:
        found = [(link, store.case_of_link(link.id)) for link in service.listed("" if state == EVERY else state)]
    found.sort(key=lambda one: one[0].expires_at)
    now = present()
    if as_json:
        print_json({"links": [_facts(link, case, now) for link, case in found]})
    elif not found:
        typer.echo("No links." if state == EVERY else f"No {state} links. See all that are kept with --state all.")
    else:
        print_table(
            ("link", "ticket", "state", "views", "minutes left"),
            [
                (link.id, _ticket(case) or link.ref or "?", link.state, f"{link.views} of {link.max_views}",
                 str(_minutes_left(link, now)))
                for link, case in found
            ],
        )  # fmt: skip


def revoke(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="LINK_ID|TICKET", help="The link's id, or its ticket.")],
) -> None:
    """Make a link dead at once. The password behind it stays in force, but nobody gets to see it."""
    from connector.core.case import State
    from connector.core.ports import AuditEntry
    from connector.secretlink.seal import is_link_id
    from connector.wiring import build_adapters, present

    settings, place = load(context)
    service = build_adapters(settings, place).links
    named = what.startswith("lnk_") and is_link_id(what)
    # At once, where the id alone is enough for it: our own database may be away.
    ended = named and service.revoke(what)
    try:
        with open_cases(context) as store:
            case = store.case_of_link(what) if named else find(store, what)
            link_id = what if named else case.link_id if case else ""
            if not link_id:
                raise ConnectorError(f"No link was made for ticket {what}. There is nothing to revoke.")
            handle = case.link_handle if case is not None and case.link_id == link_id else ""
            if not ended and not service.revoke(link_id, handle=handle):
                raise ConnectorError(
                    f"The link service of kind {settings.links.kind} knows no link {link_id}, so nothing was ended. If "
                    "it was made while `links` named another service or account, end it there. What it shows is of no "
                    "use once the password is changed."
                )
            if case is not None:
                facts = {"link_id": link_id, "by": "an administrator"}
                store.write_audit(AuditEntry(at=present(), case_id=case.id, event="link_revoked_by_hand", facts=facts))
    except ConnectorError as failure:
        if not ended:
            raise
        raise ConnectorError(f"{what} shows nothing any more, but no audit says so: {failure}") from None
    typer.echo(f"{link_id} shows nothing any more.")
    if case is not None and case.state is State.LINK_OUT and case.link_id == link_id:
        typer.echo(f"Its case goes to a person: connector show {case.psa}:{case.number}")


def accept_history(context: typer.Context) -> None:
    """Believe the link service again, after it was restored or replaced. What it has and we have not is taken in."""
    from connector.core.ports import AuditEntry
    from connector.errors import PermanentError
    from connector.secretlink.client_answers import KeepsHistory
    from connector.wiring import build_adapters, present

    settings, place = load(context)
    service = build_adapters(settings, place).links
    if not isinstance(service, KeepsHistory):
        raise ConnectorError(
            f"links.kind {settings.links.kind}: this link service keeps no history that could break. There is nothing "
            "to accept; see whether it is there with: connector check"
        )
    with open_cases(context) as store, _links_poll(store) as poll:
        try:
            service.news(poll.cursor)
        except PermanentError as broken:
            reason = str(broken)
        else:
            typer.echo("The link service's history goes on where it was left. There is nothing to accept.")
            return
        cursor = service.begin_anew(poll.cursor)
        taken = 0
        while True:
            news = service.news(cursor)
            fresh = store.untold(news.events)
            store.record_link_events(fresh, now=present())
            ended, cursor = not news.more or news.cursor == cursor, news.cursor
            taken += len(fresh)
            if ended:
                break
        store.write_audit(AuditEntry(at=present(), case_id="", event="link_history_accepted", facts={"reason": reason}))
        poll.cursor = cursor
    typer.echo(f"Accepted, with {counted(taken, 'event')} that had not been told before.")
    typer.echo(f"What was wrong: {reason.partition(' What it tells is not believed')[0]}")


@dataclass
class _Poll:
    """The poll of the links while it is held. `cursor` is saved at the end."""

    cursor: str


@contextmanager
def _links_poll(store: SqlCaseStore) -> Iterator[_Poll]:
    """Hold the poll of the links, so that no process saves another place meanwhile."""
    import time

    from connector.intake import LINKS, POLL_LEASE
    from connector.wiring import present

    patience = present() + CLAIM_PATIENCE
    while (cursor := store.claim_poll(LINKS, now=present(), lease=POLL_LEASE, early=timedelta(days=1))) is None:
        if present() > patience:
            raise ConnectorError("The links are being polled right now. Try again in a minute.")
        time.sleep(0.25)
    poll = _Poll(cursor)
    try:
        yield poll
    except BaseException:
        store.finish_poll(LINKS, cursor=cursor, next_at=present())
        raise
    store.finish_poll(LINKS, cursor=poll.cursor, next_at=present())


def _facts(link: ListedLink, case: Case | None, now: datetime) -> dict[str, object]:
    return {
        "id": link.id,
        "ticket": _ticket(case),
        "case": case.id if case else None,
        "ref": link.ref,
        "state": link.state,
        "views": link.views,
        "max_views": link.max_views,
        "expires_at": link.expires_at.isoformat(),
        "minutes_left": _minutes_left(link, now),
    }


def _ticket(case: Case | None) -> str | None:
    return f"{case.psa}:{case.number}" if case else None


def _minutes_left(link: ListedLink, now: datetime) -> int:
    """Whole minutes that are left for sure; 0 for a link that has ended."""
    left = link.expires_at - now if link.state == "active" else timedelta(0)
    return max(0, left // timedelta(minutes=1))
