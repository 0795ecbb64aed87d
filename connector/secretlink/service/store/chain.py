"""Events in order, in a chain that shows when something was changed or taken away.

Each event carries `mac = HMAC(chain key, mac of the event before || this event)`, and `seq` counts without gaps. The
chain key comes from the pepper, so whoever can write only the database cannot forge an event. Each event says, inside
of what is authenticated, under which pepper its mac was made, so the chain goes on when the pepper is changed. Whoever
drops the newest events shortens the chain: the connector remembers the head it has seen and refuses a history that does
not reach it.

What is personal in an event (address, name of the browser, city) can be blanked later. The mac stays what it was, for
the next one stands on it; `blanked_mac = HMAC(chain key, "blanked" || mac before || mac || the event as it is now)` is
the service's word that it checked the mac while everything was still there. Events of the first form, written before
there were several peppers, are blanked in the same way. A random salt, blanked with the rest, keeps even who has the
pepper from trying addresses against a mac.

Old events are removed from the front only, and the `purged` event that reports it carries the seq and the mac of the
last one removed; so the chain that is left still has a proven beginning.

Whoever is told of an event is told of one that was checked against the one before it: see `EventLog.page`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, insert, literal_column, or_, select, text, update

from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.events import Event, EventKind, Visitor, event_from, mask
from connector.secretlink.service.store.peppers import Peppers

__all__ = ["Chain", "ChainReport", "Event", "EventKind", "Head", "HistoryBroken", "Visitor", "event_from"]

BEFORE_THE_FIRST: Final = bytes(32)
_NEWEST: Final = select(tables.event.c.seq, tables.event.c.mac).order_by(tables.event.c.seq.desc()).limit(1)
_INSERT: Final = insert(tables.event)
_BEFORE: Final = tables.event.alias("before")
_OF_LINK: Final = (
    select(tables.event, _BEFORE.c.mac.label("mac_before"))
    .join_from(tables.event, _BEFORE, _BEFORE.c.seq == tables.event.c.seq - 1, isouter=True)
    .where(tables.event.c.link_id == bindparam("of_link"), tables.event.c.kind == bindparam("of_kind"))
    .order_by(tables.event.c.seq)
)
_FORM: Final = 2
_MAC_BYTES: Final = 32
_SALT_BYTES: Final = 16


class HistoryBroken(ValueError):
    """An event is not what was written, or the one before it is not there: somebody changed the database.

    Attributes:
        at_seq: Of the first event that does not fit.
    """

    def __init__(self, at_seq: int) -> None:
        super().__init__(
            f"The link service's event {at_seq} does not fit into its history: somebody changed or removed events. "
            'Look at who can write into its database; see "When the history is not believed" in docs/links.md.'
        )
        self.at_seq = at_seq


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
        unchecked: How many of the oldest events were made under a pepper that is not known any more. Nothing can be
            said of them, except that nothing is missing after them.
    """

    events: int
    broken_at: int | None
    unchecked: int = 0


@dataclass(frozen=True)
class Check:
    """How far a check of the chain has come.

    Attributes:
        before: The event that the next one must follow.
        report: What was found so far.
        done: Whether nothing is left to check, or it is broken.
        known_seen: Whether an event of a pepper that is known was among them.
    """

    before: Head
    report: ChainReport
    done: bool = False
    known_seen: bool = False


class Chain:
    """Appends to and checks the chain, inside transactions that the caller opens."""

    def __init__(self, peppers: Peppers, *, mask_ip: bool = False) -> None:
        """Nothing is read yet.

        Args:
            mask_ip: Write no whole address down: see `Visitor.masked`.
        """
        self._peppers = peppers
        self._mask_ip = mask_ip

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
    ) -> None:
        """Write one event as the last of the chain: see `append_all`."""
        event = self.event(
            kind, at_ms=at_ms, link_id=link_id, ref=ref, visitor=visitor, view=view, views_left=views_left,
            reason=reason, nonce=nonce,
        )  # fmt: skip
        self.append_all(connection, [event])

    def event(
        self,
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
        """One event, ready to be written, with as much of the visitor as may be kept."""
        seen = visitor or Visitor()
        return Event(
            seq=0,
            link_id=link_id,
            ref=ref,
            kind=kind.value,
            at_ms=at_ms,
            view=view,
            views_left=views_left,
            reason=reason,
            nonce=nonce,
            ip=mask(seen.ip) if self._mask_ip else seen.ip,
            country=seen.place.country if seen.place else None,
            city=seen.place.city if seen.place else None,
            place_source=seen.place.source if seen.place else None,
            user_agent=seen.user_agent,
            agent=seen.agent,
            suspect=seen.suspect if visitor else None,
        )

    def append_all(self, connection: Connection, events: Sequence[Event]) -> None:
        """Write events as the last ones of the chain; it gives them their numbers.

        They count only when the caller's transaction commits, and that must be one of `database.writing`: commit order
        must be the order of the numbers, or a reader with a cursor misses an event that commits late.
        """
        before = self.head(connection)
        rows = []
        for event in events:
            row = self._row(before, replace(event, seq=before.seq + 1))
            rows.append(row)
            before = Head(before.seq + 1, row["mac"])
        connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])

    def _row(self, before: Head, event: Event) -> dict[str, Any]:
        pepper = self._peppers.current
        salt = secrets.token_bytes(_SALT_BYTES) if event.is_personal else None
        content = event.canonical(form=_FORM, pepper_id=pepper.key_id, salt=salt)
        row = {field.name: getattr(event, field.name) for field in fields(event)}
        return row | {
            "form": _FORM, "pepper_id": pepper.key_id, "salt": salt, "mac": _mac(pepper, before.mac + content),
            "blanked_mac": None,
        }  # fmt: skip

    def head(self, connection: Connection) -> Head:
        """The newest event's place and mac."""
        row = connection.execute(_NEWEST).one_or_none()
        return Head(row.seq, row.mac) if row else Head(0, BEFORE_THE_FIRST)

    def mac_at(self, connection: Connection, seq: int) -> bytes | None:
        """The mac of the event `seq`; zeros for 0; `None` where there is no such event (purged, or not yet)."""
        if seq == 0:
            return BEFORE_THE_FIRST
        return connection.execute(select(tables.event.c.mac).where(tables.event.c.seq == seq)).scalar_one_or_none()

    def of_link(self, connection: Connection, link_id: str, kind: EventKind) -> tuple[Event, ...]:
        """What happened to one link of one kind, oldest first, as far as it is proven.

        Each event was checked against the one before it; one that does not fit, or is of a pepper that is not known any
        more, is passed over.
        """
        rows = connection.execute(_OF_LINK, {"of_link": link_id, "of_kind": kind.value}).mappings().all()
        return tuple(event_from(row) for row in rows if self._fits(self._before(connection, row), row))

    def _before(self, connection: Connection, row: RowMapping) -> Head:
        """What a row of `_OF_LINK` must follow."""
        if row["mac_before"] is not None:
            return Head(row["seq"] - 1, row["mac_before"])
        try:
            return self.beginning(connection)
        except HistoryBroken:
            return Head(0, b"")  # nothing follows that

    def beginning(self, connection: Connection) -> Head:
        """What the first kept event must follow: the last one that the newest purge removed.

        Raises:
            HistoryBroken: The report of that purge says nothing that could be read.
        """
        row = connection.execute(
            select(tables.event.c.seq, tables.event.c.reason)
            .where(tables.event.c.kind == literal_column("'purged'"))  # as in the index
            .order_by(tables.event.c.seq.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            return Head(0, BEFORE_THE_FIRST)
        try:
            seq, _, mac = row.reason.partition(":")
            return Head(int(seq), bytes.fromhex(mac))
        except (AttributeError, TypeError, ValueError):
            raise HistoryBroken(row.seq) from None

    def blank(self, connection: Connection, *, up_to: int, most: int) -> int:
        """Blank what is personal in events up to the number `up_to`, the oldest `most` of them.

        Returns:
            How many events were blanked.
        """
        event = tables.event.c
        # As in the index, word by word: there only events with something left to blank are found.
        personal = text("(ip IS NOT NULL OR user_agent IS NOT NULL)")
        found = select(tables.event).where(personal, event.seq <= up_to).order_by(event.seq).limit(most)
        old = connection.execute(found).mappings().all()
        if not old:
            return 0
        beginning = self.beginning(connection)
        changes = []
        for row in old:
            previous = self.mac_at(connection, row["seq"] - 1)
            before = beginning if previous is None else Head(row["seq"] - 1, previous)
            # One that does not fit is blanked, too, but gets no word of ours: it stays broken.
            word = None
            if self._fits(before, row):
                content = _blanked_content(before, row, event_from(row).blanked())
                word = _mac(self._peppers.current, content)
            changes.append({"at_seq": row["seq"], "blanked_mac": word})
        connection.execute(
            update(tables.event)
            .where(event.seq == bindparam("at_seq"))
            .values(ip=None, user_agent=None, city=None, salt=None, blanked_mac=bindparam("blanked_mac")),
            changes,
        )
        return len(old)

    def verify(self, connection: Connection) -> ChainReport:
        """Check every event that is kept. Reads the whole table; `check` does it in slices."""
        check = self.check(connection, None)
        while not check.done:
            check = self.check(connection, check)
        return check.report

    def check(self, connection: Connection, so_far: Check | None, *, most: int = 50) -> Check:
        """Check the next `most` events.

        Args:
            so_far: What the slice before gave; `None`: begin at the oldest event. Events that were purged in between
                are passed over.
        """
        try:
            beginning = self.beginning(connection)
        except HistoryBroken as broken:
            return Check(Head(0, BEFORE_THE_FIRST), ChainReport(events=0, broken_at=broken.at_seq), done=True)
        so_far = so_far or Check(beginning, ChainReport(events=0, broken_at=None))
        if so_far.before.seq < beginning.seq:
            so_far = replace(so_far, before=beginning)
        rows = connection.execute(
            select(tables.event).where(tables.event.c.seq > so_far.before.seq).order_by(tables.event.c.seq).limit(most)
        )
        found = rows.mappings().all()
        check = self.check_rows(so_far, found)
        return replace(check, done=check.done or len(found) < most)

    def check_rows(self, so_far: Check, rows: Sequence[RowMapping]) -> Check:
        """Check rows of `tables.event` that must follow `so_far.before`. One keyed hash each, nothing is read."""
        before, known_seen = so_far.before, so_far.known_seen
        checked, unchecked = so_far.report.events, so_far.report.unchecked
        for row in rows:
            fits = self._fits(before, row)
            # Only the oldest events can be of a pepper that is gone: what comes after ours was written by us.
            known_seen = known_seen or self.is_of_known_pepper(row["pepper_id"])
            if fits is False or (fits is None and known_seen):
                return Check(before, ChainReport(checked, row["seq"], unchecked), done=True)
            unchecked += fits is None
            before = Head(row["seq"], row["mac"])
            checked += 1
        return Check(before, ChainReport(checked, None, unchecked), known_seen=known_seen)

    def is_of_known_pepper(self, pepper_id: str | None) -> bool:
        """Whether an event can be checked. One of the first form names no pepper: it must be one of ours."""
        return pepper_id is None or self._peppers.find(pepper_id) is not None

    def first_of_known_pepper(self, connection: Connection, *, after: int) -> int | None:
        """The seq of the first event behind `after` that can be checked; `None`: there is none."""
        event, known = tables.event.c, [pepper.key_id for pepper in self._peppers.known]
        first = (
            select(event.seq)
            .where(event.seq > after, or_(event.pepper_id.is_(None), event.pepper_id.in_(known)))
            .order_by(event.seq)
            .limit(1)
        )
        return connection.execute(first).scalar_one_or_none()

    def _fits(self, before: Head, row: RowMapping) -> bool | None:
        """Whether a row follows `before` and is what was written; `None`: its pepper is not known any more."""
        try:
            return self._is_next(before, row)
        except (AttributeError, TypeError, ValueError):  # SQLite keeps any type in any column: nothing of ours
            return False

    def _is_next(self, before: Head, row: RowMapping) -> bool | None:
        event = event_from(row)
        if event.seq != before.seq + 1:
            return False
        if len(before.mac) != _MAC_BYTES or len(row["mac"]) != _MAC_BYTES:
            return False  # else what belongs to a mac and what to the event would be for who writes the database to say
        known = self._peppers.find(row["pepper_id"])
        if row["blanked_mac"] is not None:
            content = _blanked_content(before, row, event)
            if any(hmac.compare_digest(row["blanked_mac"], _mac(pepper, content)) for pepper in self._peppers.known):
                return True
            # Under which pepper it was blanked is not written down; one that is gone can only be that of its own time.
            return None if known is None and row["pepper_id"] is not None else False
        if known is None and row["pepper_id"] is not None:
            return None
        # Of an event of the first form it may not be written down which pepper it was: then any of ours will do.
        content = event.canonical(form=row["form"], pepper_id=row["pepper_id"], salt=row["salt"])
        return any(
            hmac.compare_digest(row["mac"], _mac(pepper, before.mac + content))
            for pepper in ([known] if known else self._peppers.known)
        )


def _mac(pepper: Pepper, content: bytes) -> bytes:
    return hmac.digest(pepper.chain_key, content, "sha256")


def _blanked_content(before: Head, row: RowMapping, event: Event) -> bytes:
    mac: bytes = row["mac"]
    content = event.canonical(form=row["form"], pepper_id=row["pepper_id"], salt=None)
    return b"blanked" + before.mac + mac + content
