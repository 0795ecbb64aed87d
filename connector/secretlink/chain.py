"""What happened to links, in order, in a chain that shows when something was changed or taken away.

Each event carries `mac = HMAC(chain key, mac of the event before || this event)`, and `seq` counts without gaps. The
chain key comes from the pepper, so whoever can write only the database cannot forge an event. Whoever drops the newest
events shortens the chain: the connector remembers the head it has seen and refuses a history that does not reach it.

Old events are removed from the front only, and the `purged` event that reports it carries the seq and the mac of the
last one removed; so the chain that is left still has a proven beginning.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, RowMapping, func, insert, select, text

from connector.secretlink import tables
from connector.secretlink.place import Place, network_in

BEFORE_THE_FIRST: Final = bytes(32)
_WRITERS_LOCK: Final = 0x6C6E6B73  # "lnks"; any fixed number, the same in every process


class EventKind(StrEnum):
    """What can happen. Only `REVEALED` uses a view."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    STEP_OPENED = "step_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"
    PURGED = "purged"
    UNKNOWN_TOKEN_BURST = "unknown_token_burst"  # noqa: S105 - the name of an event


@dataclass(frozen=True)
class Visitor:
    """Who asked, as far as an HTTP request tells. Used to label events, never to decide.

    Attributes:
        ip: Address in plain notation; `None` where it is not known.
        place: Roughly where that address is registered or sits; `None` where nothing is known.
        user_agent: What the browser calls itself, cut to 300 characters.
        agent: The same for people: `Edge 156 on Windows`.
        suspect: Why this looks like a machine (`head_request`, `robot_name`, `no_name`) and what network it came from (a
            key of `place.NETWORKS`), with a comma between the two; `none` for neither.
    """

    ip: str | None = None
    place: Place | None = None
    user_agent: str | None = None
    agent: str | None = None
    suspect: str = "none"


@dataclass(frozen=True)
class Event:
    """One thing that happened. Holds no secret: no token, no lookup, no password.

    Attributes:
        seq: Place in the chain, from 1, without gaps.
        link_id: `None` for what concerns no single link.
        ref: What the connector wrote on the link when it made it.
        at_ms: Milliseconds since 1970-01-01 UTC.
        view: For `revealed`: which view this was, from 1. For `expired` and `revoked`: how many had been used.
        views_left: Views left after it; `None` where it says nothing.
        reason: Why something was refused or revoked; for `purged`, what was removed.
        nonce: The reveal's nonce; only for `revealed`.
    """

    seq: int
    link_id: str | None
    ref: str | None
    kind: str
    at_ms: int
    view: int | None = None
    views_left: int | None = None
    reason: str | None = None
    nonce: str | None = None
    ip: str | None = None
    country: str | None = None
    city: str | None = None
    place_source: str | None = None
    user_agent: str | None = None
    agent: str | None = None
    suspect: str | None = None

    @property
    def place(self) -> Place | None:
        """Where the visitor roughly was."""
        if self.country is None or self.place_source is None:
            return None
        return Place(self.country, self.city, self.place_source, network_in(self.suspect))

    def canonical(self) -> bytes:
        """The bytes that the chain authenticates: every field, in the order of this class."""
        values = [getattr(self, field.name) for field in fields(self)]
        return json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True)
class Head:
    """The newest event's place in the chain and its mac; before the first event `0` and zeros."""

    seq: int
    mac: bytes


@dataclass(frozen=True)
class ChainReport:
    """What checking the whole chain found.

    Attributes:
        events: How many events were checked.
        broken_at: Seq of the first event that does not fit; `None` for an unbroken chain.
    """

    events: int
    broken_at: int | None


class Chain:
    """Appends to and checks the chain, inside transactions that the caller opens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def append(
        self,
        connection: Connection,
        kind: EventKind,
        *,
        at_ms: int,
        link_id: str | None = None,
        ref: str | None = None,
        visitor: Visitor | None = None,
        view: int | None = None,
        views_left: int | None = None,
        reason: str | None = None,
        nonce: str | None = None,
    ) -> Event:
        """Write one event as the last of the chain. It counts only when the caller's transaction commits."""
        if connection.dialect.name == "postgresql":
            # Commit order must be seq order, or a reader with a cursor misses an event that commits late.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS_LOCK})
        head = self.head(connection)
        seen = visitor or Visitor()
        event = Event(
            seq=head.seq + 1,
            link_id=link_id,
            ref=ref,
            kind=kind.value,
            at_ms=at_ms,
            view=view,
            views_left=views_left,
            reason=reason,
            nonce=nonce,
            ip=seen.ip,
            country=seen.place.country if seen.place else None,
            city=seen.place.city if seen.place else None,
            place_source=seen.place.source if seen.place else None,
            user_agent=seen.user_agent,
            agent=seen.agent,
            suspect=seen.suspect if visitor else None,
        )
        row = {field.name: getattr(event, field.name) for field in fields(event)}
        connection.execute(insert(tables.event).values(**row, mac=self._mac(head.mac, event)))
        return event

    def head(self, connection: Connection) -> Head:
        """The newest event's place and mac."""
        row = connection.execute(
            select(tables.event.c.seq, tables.event.c.mac).order_by(tables.event.c.seq.desc()).limit(1)
        ).one_or_none()
        return Head(row.seq, row.mac) if row else Head(0, BEFORE_THE_FIRST)

    def mac_at(self, connection: Connection, seq: int) -> bytes | None:
        """The mac of the event `seq`; zeros for 0; `None` where there is no such event (purged, or not yet)."""
        if seq == 0:
            return BEFORE_THE_FIRST
        return connection.execute(select(tables.event.c.mac).where(tables.event.c.seq == seq)).scalar_one_or_none()

    def remove_before(self, connection: Connection, first_kept: int, *, at_ms: int) -> int:
        """Remove every event in front of `first_kept` and report it in a `purged` event; nothing to remove writes none.

        Returns:
            How many events were removed.
        """
        last = connection.execute(
            select(tables.event.c.seq, tables.event.c.mac)
            .where(tables.event.c.seq < first_kept)
            .order_by(tables.event.c.seq.desc())
            .limit(1)
        ).one_or_none()
        if last is None:
            return 0
        # Written first: the chain must never be empty, or counting would begin again at 1.
        self.append(connection, EventKind.PURGED, at_ms=at_ms, reason=f"{last.seq}:{last.mac.hex()}")
        return connection.execute(tables.event.delete().where(tables.event.c.seq < first_kept)).rowcount

    def verify(self, connection: Connection) -> ChainReport:
        """Check every event that is kept. Reads the whole table; meant for an operator's command, not for requests."""
        before = self._beginning(connection)
        checked = 0
        rows = connection.execution_options(yield_per=500).execute(select(tables.event).order_by(tables.event.c.seq))
        for row in rows.mappings():
            event = event_from(row)
            if event.seq != before.seq + 1 or not hmac.compare_digest(row["mac"], self._mac(before.mac, event)):
                return ChainReport(events=checked, broken_at=event.seq)
            before = Head(event.seq, row["mac"])
            checked += 1
        return ChainReport(events=checked, broken_at=None)

    def _beginning(self, connection: Connection) -> Head:
        """What the first kept event must follow: the last one that the newest purge removed."""
        reason = connection.execute(
            select(tables.event.c.reason)
            .where(tables.event.c.kind == EventKind.PURGED.value)
            .order_by(tables.event.c.seq.desc())
            .limit(1)
        ).scalar_one_or_none()
        if reason is None:
            return Head(0, BEFORE_THE_FIRST)
        seq, _, mac = reason.partition(":")
        return Head(int(seq), bytes.fromhex(mac))

    def _mac(self, before: bytes, event: Event) -> bytes:
        return hmac.new(self._key, before + event.canonical(), hashlib.sha256).digest()


def event_from(row: RowMapping) -> Event:
    """An event as the table holds it."""
    return Event(**{field.name: row[field.name] for field in fields(Event)})


def count_of(connection: Connection, link_id: str, kinds: tuple[EventKind, ...]) -> int:
    """How many events of these kinds a link has."""
    return connection.execute(
        select(func.count())
        .select_from(tables.event)
        .where(tables.event.c.link_id == link_id, tables.event.c.kind.in_([kind.value for kind in kinds]))
    ).scalar_one()
