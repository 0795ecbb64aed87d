"""What polls bring in: changed tickets and link events, and the polls' own claims. Each inside a caller's transaction.

Many rows cost few statements: a poll of 100 tickets is a look-up, one insert and one update.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import ColumnElement, Connection, exists, insert, or_, select, update
from sqlalchemy import case as when

from connector.core.case import Case, State
from connector.core.ports import ChangedTicket, LinkEvent, LinkEventKind, Watched
from connector.store import tables
from connector.store.codec import case_details
from connector.store.due import FINISHED
from connector.store.engine import Database

WATCHED_AFTER_ITS_END: Final = timedelta(days=2)
"""How long the end of a link is waited for: a connector that was away for a night still learns what happened."""

LINK_ENDS: Final = frozenset({LinkEventKind.EXPIRED, LinkEventKind.REVOKED})

_ALARM: Final = "alarm-"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_Item = TypeVar("_Item")
_CHUNK: Final = 80  # a case has 12 values, and SQLite before 3.32 takes no more than 999 in one statement


def new_case(psa: str, ticket: ChangedTicket, *, now: datetime) -> Case:
    """The case of a ticket that was never seen before."""
    return Case(
        id=f"case-{secrets.token_hex(8)}",
        psa=psa,
        ticket_id=ticket.id,
        number=ticket.number,
        state=State.RECEIVED,
        created_at=now,
        due_at=now,
    )


def poke(connection: Connection, which: ColumnElement[bool], *, now: datetime) -> None:
    """Make cases due, even while somebody works on them: `save` leaves `next_at` alone when it finds `poked`."""
    c = tables.cases.c
    since = when((c.next_at <= now, c.next_at), else_=now)
    connection.execute(update(tables.cases).where(which).values(poked=True, next_at=since))


def note_tickets(
    database: Database, connection: Connection, psa: str, tickets: Sequence[ChangedTicket], *, now: datetime
) -> int:
    """See `CaseStore.note_tickets`."""
    c = tables.cases.c
    wanted = {ticket.id: ticket for ticket in tickets}
    opened = 0
    for chunk in _chunks(list(wanted.values())):
        ours = (c.psa == psa) & c.ticket_id.in_([ticket.id for ticket in chunk])
        known = set(connection.execute(select(c.ticket_id).where(ours)).scalars())
        fresh = [new_case(psa, ticket, now=now) for ticket in chunk if ticket.id not in known]
        if fresh:
            # Another process may have seen the same ticket at the same moment; the first one wins.
            query = database.insert_or_ignore(tables.cases).values([_first_row(case) for case in fresh])
            opened += connection.execute(query).rowcount
        if known:
            poke(connection, (c.psa == psa) & c.ticket_id.in_(known) & c.state.not_in(FINISHED), now=now)
    return opened


def _first_row(case: Case) -> dict[str, object]:
    return {
        "id": case.id,
        "psa": case.psa,
        "ticket_id": case.ticket_id,
        "number": case.number,
        "state": case.state.value,
        "created_at": case.created_at,
        "due_at": case.due_at,
        "version": case.version,
        "details": case_details(case),
        "next_at": case.due_at,
        "poked": False,
        "lease_until": None,
    }


def record_link_events(connection: Connection, events: Sequence[LinkEvent], *, now: datetime) -> None:
    """See `CaseStore.record_link_events`."""
    links, kept = tables.case_link.c, tables.case_link_event.c
    for chunk in _chunks(events):
        ids = {event.link_id for event in chunk}
        query = select(links.link_id, links.case_id).where(links.link_id.in_(ids))
        owners = {row.link_id: row.case_id for row in connection.execute(query)}
        if not owners:
            continue
        stored = select(kept.link_id, kept.seq).where(
            kept.link_id.in_(owners), kept.seq.in_([event.seq for event in chunk])
        )
        known = {(row.link_id, row.seq) for row in connection.execute(stored)}
        ours = [event for event in chunk if event.link_id in owners]
        born = select(kept.link_id, kept.at).where(kept.link_id.in_(owners), kept.kind == LinkEventKind.CREATED.value)
        births = [(str(row.link_id), row.at) for row in connection.execute(born)]
        fresh = {(event.link_id, event.seq): event for event in believed(ours, births)}
        rows = [_event_row(event) for place, event in fresh.items() if place not in known]
        if rows:
            connection.execute(insert(tables.case_link_event).values(rows))
            poke(connection, tables.cases.c.id.in_({owners[str(row["link_id"])] for row in rows}), now=now)


def believed(events: Sequence[LinkEvent], births: Iterable[tuple[str, datetime]]) -> list[LinkEvent]:
    """Those of events that belong to the links that we made.

    Our link service forgets a link some time after its end, and then whoever has a key for it may make another of the
    same name, open it and report it. That it was made again is kept; what happened to it since is not ours.

    Args:
        births: Which links were made when, as far as that was recorded before.
    """
    made: dict[str, set[datetime]] = defaultdict(set)
    for link_id, at in (*births, *((event.link_id, event.at) for event in events if _is_birth(event))):
        made[link_id].add(at)
    again = {link_id: sorted(moments)[1] for link_id, moments in made.items() if len(moments) > 1}
    return [event for event in events if _is_birth(event) or event.at < again.get(event.link_id, _NEVER)]


def _is_birth(event: LinkEvent) -> bool:
    return event.kind is LinkEventKind.CREATED


def new_alarm_reference() -> str:
    """Nobody guesses it; see `CaseStore.alarm_reference`."""
    return f"{_ALARM}{secrets.token_hex(16)}"


def alarm_reference(connection: Connection, case_id: str) -> str:
    """See `CaseStore.alarm_reference`. A case owns it as it owns its links, and events find their case by either."""
    link = tables.case_link.c
    own = select(link.link_id).where(link.case_id == case_id, link.link_id.startswith(_ALARM)).order_by(link.link_id)
    known: str | None = connection.execute(own.limit(1)).scalar()
    if known is not None:
        return known
    reference = new_alarm_reference()
    connection.execute(insert(tables.case_link).values(link_id=reference, case_id=case_id))
    return reference


def watch_link(connection: Connection, case: Case) -> None:
    """Remember how long the link of a case is of interest, once it was made. A repeat changes nothing."""
    link = tables.case_link.c
    if case.link_expires_at is not None:
        values = {"handle": case.link_handle, "expires_at": case.link_expires_at, "views": case.views_allowed}
        first = (link.link_id == case.link_id) & link.expires_at.is_(None)
        connection.execute(update(tables.case_link).where(first).values(values))


def watched_links(connection: Connection, *, now: datetime) -> list[Watched]:
    """See `CaseStore.watched_links`."""
    link, event = tables.case_link.c, tables.case_link_event.c
    # By what is left, and not by how many reveals were told: a look by somebody signed in there uses up no view.
    used_up = (event.kind == LinkEventKind.REVEALED.value) & (event.views_left == 0)
    ended = or_(event.kind.in_([kind.value for kind in LINK_ENDS]), used_up)
    told = exists().where(event.link_id == link.link_id, ended)
    query = (
        select(tables.case_link)
        .where(link.expires_at > now - WATCHED_AFTER_ITS_END, ~told)
        .order_by(link.expires_at, link.link_id)
    )
    return [
        Watched(id=row.link_id, handle=row.handle, expires_at=row.expires_at, views=row.views)
        for row in connection.execute(query)
    ]


def untold(connection: Connection, events: Sequence[LinkEvent]) -> list[LinkEvent]:
    """See `CaseStore.untold`."""
    e = tables.case_link_event.c
    found: list[LinkEvent] = []
    for chunk in _chunks(events):
        query = select(e.link_id, e.kind, e.view, e.at, e.reason).where(
            e.link_id.in_({event.link_id for event in chunk}), e.at.in_({event.at for event in chunk})
        )
        # Of the events of before 0.3 no reason was kept.
        told = {(row.link_id, row.kind, row.view, row.at, row.reason) for row in connection.execute(query)}
        for event in chunk:
            key = (event.link_id, event.kind.value, event.view, event.at)
            if not told & {(*key, event.reason), (*key, None)}:
                found.append(event)
    return found


def _event_row(event: LinkEvent) -> dict[str, object]:
    return {
        "link_id": event.link_id,
        "seq": event.seq,
        "kind": event.kind.value,
        "at": event.at,
        "view": event.view,
        "views_left": event.views_left,
        "ip": event.ip,
        "place": event.place,
        "agent": event.agent,
        "reason": event.reason,
    }


def link_events(connection: Connection, case_id: str, *, after: int) -> list[LinkEvent]:
    """See `CaseStore.link_events`."""
    e, link = tables.case_link_event.c, tables.case_link.c
    query = (
        select(tables.case_link_event)
        .join(tables.case_link, link.link_id == e.link_id)
        .where(link.case_id == case_id, e.seq > after)
        .order_by(e.seq)
    )
    return [
        LinkEvent(
            seq=row.seq,
            link_id=row.link_id,
            kind=LinkEventKind(row.kind),
            at=row.at,
            view=row.view,
            views_left=row.views_left,
            ip=row.ip,
            place=row.place,
            agent=row.agent,
            reason=row.reason or "",
        )
        for row in connection.execute(query)
    ]


def claim_poll(
    database: Database, connection: Connection, name: str, *, now: datetime, lease: timedelta, early: timedelta
) -> str | None:
    """See `CaseStore.claim_poll`."""
    c = tables.poll.c
    until = now + lease
    free = or_(c.lease_until.is_(None), c.lease_until <= now) & or_(c.next_at.is_(None), c.next_at <= now + early)
    if connection.execute(update(tables.poll).where(c.name == name, free).values(lease_until=until)).rowcount == 1:
        cursor: str = connection.execute(select(c.cursor).where(c.name == name)).scalar_one()
        return cursor
    first = database.insert_or_ignore(tables.poll).values(name=name, cursor="", next_at=None, lease_until=until)
    return "" if connection.execute(first).rowcount == 1 else None


def poll_cursor(connection: Connection, name: str) -> str:
    """See `CaseStore.poll_cursor`."""
    return connection.execute(select(tables.poll.c.cursor).where(tables.poll.c.name == name)).scalar_one_or_none() or ""


def finish_poll(connection: Connection, name: str, *, cursor: str, next_at: datetime) -> None:
    """See `CaseStore.finish_poll`. A poll that was never claimed is noted all the same."""
    values = {"cursor": cursor, "next_at": next_at, "lease_until": None}
    if connection.execute(update(tables.poll).where(tables.poll.c.name == name).values(values)).rowcount == 0:
        connection.execute(insert(tables.poll).values(name=name, **values))


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
