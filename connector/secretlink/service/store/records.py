"""What everything that works on links shares: finding them, ending them, noting what happened. Inside transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from connector.errors import ConfigError
from connector.secretlink.seal import Terms
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import Chain, Event, EventKind, Visitor
from connector.secretlink.service.store.database import reading, writing
from connector.secretlink.service.store.genuine import is_genuine, unproven
from connector.secretlink.service.store.links import ACTIVE, LinkRecord
from connector.secretlink.service.store.openings import Openings
from connector.secretlink.service.store.peppers import Peppers

# Written out, not a parameter: only then does SQLite see that the index over active links is enough.
# Source: https://www.sqlite.org/partialindex.html, section 3, read 2026-11-22.
IS_ACTIVE: Final[ColumnElement[bool]] = tables.link.c.state == literal_column("'active'")
HAS_ENDED: Final[ColumnElement[bool]] = tables.link.c.state != literal_column("'active'")

_MOST_UNCOUNTED_EVENTS: Final = 100
"""Openings and refusals recorded per link; further ones are answered but not written, so that nobody fills the disk."""
_MOST_SAID_CHANGED: Final = 1000
_UNCOUNTED: Final = (EventKind.PAGE_OPENED, EventKind.STEP_OPENED, EventKind.REFUSED, EventKind.CHECK_FAILED)

# Statements of requests are made once: making one costs SQLAlchemy three times what executing it does.
_LINK_BY_ID: Final = select(tables.link).where(tables.link.c.id == bindparam("link_id"))
_IS_UNCOUNTED: Final = or_(*(tables.event.c.kind == kind.value for kind in _UNCOUNTED))
_COUNT_UNCOUNTED: Final = (
    select(func.count()).select_from(tables.event).where(tables.event.c.link_id == bindparam("link_id"), _IS_UNCOUNTED)
)
_COUNT_UNCOUNTED_OF_EACH: Final = (
    select(tables.link.c.id, func.count(tables.event.c.seq))
    .select_from(tables.link.outerjoin(tables.event, (tables.event.c.link_id == tables.link.c.id) & _IS_UNCOUNTED))
    .where(tables.link.c.id.in_(bindparam("link_ids", expanding=True)))
    .group_by(tables.link.c.id)
)

log = structlog.get_logger(__name__)


class Records:
    """The tables and the chain, as one."""

    def __init__(
        self,
        engine: Engine,
        peppers: Peppers,
        *,
        clock: Callable[[], datetime],
        mask_ip: bool,
        on_openings: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is read yet.

        Args:
            on_openings: Called after the commit of openings that had waited.
        """
        self.engine: Final = engine
        self.openings: Final = Openings()
        self._openings_stay_behind = False
        self._on_openings = on_openings
        self._said_changed: set[str] = set()
        self.peppers: Final = peppers
        self.chain: Final = Chain(peppers, mask_ip=mask_ip)
        self._clock = clock
        macs: list[BindParameter[bytes]] = [bindparam(f"mac{number}") for number, _ in enumerate(peppers.known)]
        has_lookup = or_(*(tables.link.c.lookup_mac == mac for mac in macs))
        self._link_by_lookup = select(tables.link).where(has_lookup)
        self._links_like = select(tables.link).where(or_(tables.link.c.id == bindparam("link_id"), has_lookup))

    def require_peppers(self) -> None:
        """Look whether everything that lives can be read.

        Raises:
            ConfigError: It says how many links cannot, and until when.
        """
        link, alarm, known = tables.link.c, tables.alarm.c, [pepper.key_id for pepper in self.peppers.known]
        now = self.now_ms() // 1000
        with reading(self.engine) as connection:
            links, until = connection.execute(
                select(func.count(), func.max(link.expires_at)).where(
                    IS_ACTIVE, link.expires_at > now, link.pepper_id.not_in(known)
                )
            ).one()
            alarms = connection.execute(
                select(func.count()).where(
                    alarm.expires_at > now, alarm.raised_ms.is_(None), alarm.pepper_id.not_in(known)
                )
            ).scalar_one()
        if links:
            last = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
            raise ConfigError(
                f"pepper: {links} links that can still be opened were made under another pepper. Put that one into "
                f"old_peppers, or wait until the last of them has run out ({last})."
            )
        if alarms:
            # They are not worth a service that stands still for a week; but who presses one of them is not heard.
            log.error("alarms_of_unknown_pepper", alarms=alarms, todo="put the pepper before into old_peppers")

    @property
    def openings_stay_behind(self) -> bool:
        """Whether transactions leave the openings that wait alone, because one failed that began with them."""
        return self._openings_stay_behind

    def writing(self) -> AbstractContextManager[tuple[Connection, int]]:
        """A writing transaction, and the time now in milliseconds. It begins with the openings that wait.

        Not while `openings_stay_behind`: a nearly full disk may have room for a reveal, but not for two hundred
        openings before it.

        The clock is read after the transaction has begun: it may have waited for another one, and a link may have run
        out meanwhile.
        """
        return self._writing(() if self._openings_stay_behind else self.openings.take())

    def write_openings(self) -> None:
        """Write the openings that wait, in a transaction of their own."""
        with self._writing(self.openings.take()):
            pass
        self._openings_stay_behind = False

    @contextmanager
    def _writing(self, waiting: Sequence[Event]) -> Iterator[tuple[Connection, int]]:
        begun = False
        try:
            with writing(self.engine) as connection:
                begun = True
                if waiting:
                    self._write_or_drop(connection, waiting)
                yield connection, self.now_ms()
        except BaseException as error:
            self.openings.put_back(waiting)
            if waiting and begun and isinstance(error, OperationalError):
                self._openings_stay_behind = True
            raise
        if waiting:
            self._on_openings()

    def _write_or_drop(self, connection: Connection, waiting: Sequence[Event]) -> None:
        """Write openings. Any that the database will never take are dropped: nobody's view may wait behind them.

        Raises:
            SQLAlchemyError: It is not about what is written, so it may be otherwise in a while: nothing was dropped.
        """
        if self._objection_to(connection, waiting) is None:
            return
        refused = [error for event in waiting if (error := self._objection_to(connection, [event]))]
        if refused:
            log.error("link_openings_dropped", events=len(refused), error=type(refused[0]).__name__)

    def _objection_to(self, connection: Connection, waiting: Sequence[Event]) -> Exception | None:
        """Write openings, all of them or none; gives what the database has against them."""
        try:
            with connection.begin_nested():
                self._write_openings(connection, waiting)
        except (DataError, IntegrityError, ValueError) as error:
            return error
        return None

    def _write_openings(self, connection: Connection, waiting: Sequence[Event]) -> None:
        """Write those that their links still have room for; of a link that was purged meanwhile, none."""
        links = sorted({event.link_id for event in waiting if event.link_id is not None})
        counts = connection.execute(_COUNT_UNCOUNTED_OF_EACH, {"link_ids": links})
        room = {link_id: _MOST_UNCOUNTED_EVENTS - count for link_id, count in counts}
        written = []
        for event in waiting:
            left = room.get(event.link_id, 0)
            if left > 0:
                room[event.link_id] = left - 1
                written.append(event)
        if written:
            self.chain.append_all(connection, written)

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return int(self._clock().timestamp() * 1000)

    def row_by_lookup(self, connection: Connection, lookup: bytes) -> Row[Any] | None:
        """A link's row, under whichever pepper it was made."""
        return connection.execute(self._link_by_lookup, self._macs_of(lookup)).one_or_none()

    def rows_like(self, connection: Connection, link_id: str, lookup: bytes) -> Sequence[Row[Any]]:
        """The rows that have this id or this lookup, that with the id first: none, one or two."""
        rows = connection.execute(self._links_like, {"link_id": link_id} | self._macs_of(lookup)).all()
        return sorted(rows, key=lambda row: bool(row.id != link_id))

    def row_by_id(self, connection: Connection, link_id: str) -> Row[Any] | None:
        """A link's row."""
        return connection.execute(_LINK_BY_ID, {"link_id": link_id}).one_or_none()

    def _macs_of(self, lookup: bytes) -> dict[str, Any]:
        return {f"mac{number}": mac for number, mac in enumerate(self.peppers.lookup_macs(lookup))}

    def settled(self, connection: Connection, row: Row[Any] | None, now_ms: int) -> LinkRecord | None:
        """The link of a row, ended now if its time is over; see `known`."""
        record = self.known(row)
        if record is None or not is_due(record, now_ms):
            return record
        self.expire(connection, tables.link.c.id == record.terms.link_id, now_ms)
        return self.known(self.row_by_id(connection, record.terms.link_id))

    def known(self, row: Row[Any] | None) -> LinkRecord | None:
        """The link of a row; `None` without one.

        Also for a row that is not what was made, said in the log once per link: it counts as unknown, so that nothing
        that stands in it reaches anybody.
        """
        if row is None:
            return None
        genuine = is_genuine(row, self.peppers)
        if genuine is False:
            self._say_changed(row.id)
            return None
        return record_from(row) if genuine else unproven(record_from(row))

    def _say_changed(self, link_id: str) -> None:
        if link_id in self._said_changed:
            return
        if len(self._said_changed) >= _MOST_SAID_CHANGED:  # rather twice than never
            self._said_changed.clear()
        self._said_changed.add(link_id)
        log.error("link_changed", link=link_id, todo="look at who can write the database; this link counts as unknown")

    def expire(self, connection: Connection, which: ColumnElement[bool], now_ms: int) -> int:
        """End those of these links whose time is over."""
        due = tables.link.c.expires_at <= now_ms // 1000
        return self.end(connection, which & due, "expired", EventKind.EXPIRED, now_ms)

    def end(
        self, connection: Connection, which: ColumnElement[bool], state: str, kind: EventKind, now_ms: int, *,
        reason: str | None = None,
    ) -> int:  # fmt: skip
        """End the active ones among these links, wipe their blobs, write one event each. Returns how many."""
        ended: Sequence[Row[Any]] = connection.execute(
            update(tables.link)
            .where(IS_ACTIVE, which)
            .values(state=state, ended_ms=now_ms, blob=None)
            .returning(tables.link)
        ).all()
        if ended:
            # One that was changed is ended like any other; only what it was called is not said again.
            refs = {row.id: link.ref for row in ended if (link := self.known(row)) is not None}
            events = [
                Event(
                    seq=0, link_id=row.id, ref=refs.get(row.id, ""), kind=kind.value, at_ms=now_ms, view=row.views,
                    views_left=0, reason=reason,
                )
                for row in sorted(ended, key=lambda row: str(row.id))
            ]  # fmt: skip
            self.chain.append_all(connection, events)
        return len(ended)

    def note(
        self, connection: Connection, link: LinkRecord, kind: EventKind, *,
        now_ms: int, visitor: Visitor, reason: str | None, always: bool = False,
    ) -> None:  # fmt: skip
        """Write down something that used no view; of a link that is not proven nothing.

        Args:
            always: However many of these the link has already; for what cannot be repeated at will.
        """
        if not link.proven:
            return
        uncounted = connection.execute(_COUNT_UNCOUNTED, {"link_id": link.terms.link_id}).scalar_one()
        if always or uncounted < _MOST_UNCOUNTED_EVENTS:
            self.chain.append(
                connection, kind, at_ms=now_ms, link_id=link.terms.link_id, ref=link.ref, visitor=visitor,
                views_left=link.views_left, reason=reason,
            )  # fmt: skip


def due_first(what: ColumnElement[Any]) -> Select[tuple[Any]]:
    """Something of the active links, those first that run out first."""
    return select(what).where(IS_ACTIVE).order_by(tables.link.c.expires_at)


def is_due(record: LinkRecord, now_ms: int) -> bool:
    """Whether a link's time is over although it has not been ended yet."""
    return record.state == ACTIVE and record.terms.expires_at <= now_ms // 1000


def record_from(row: Row[Any]) -> LinkRecord:
    """A row that was just made or checked as a record. For others there is `Records.known`."""
    return LinkRecord(
        terms=Terms(row.id, row.max_views, row.expires_at),
        state=row.state,
        views=row.views,
        created_ms=row.created_ms,
        first_view_ms=row.first_view_ms,
        last_view_ms=row.last_view_ms,
        ended_ms=row.ended_ms,
        ref=row.ref,
        display_name=row.display_name,
        ticket=row.ticket,
        time_zone=row.time_zone,
        brand=row.brand,
        mode=row.mode,
        locale=row.locale,
        checked=row.check_mac is not None,
        check_failures=row.check_failures,
    )
