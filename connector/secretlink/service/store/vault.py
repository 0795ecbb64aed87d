"""Where links live: make, look, claim, expire, revoke, report. Each call is one transaction; see `claims` for reveals.

Links and alarms whose rows are not what was made are as good as unknown everywhere, and said in the log: see `genuine`.
They can still be ended.

A link is `active` until it is `consumed` (its last view was used), `expired` or `revoked`; from then on its blob is
gone and only a tombstone stays. An alarm is `armed` until it is `raised` or `expired`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy.exc import IntegrityError, OperationalError

from connector.errors import ConfigError
from connector.secretlink.seal import Pepper
from connector.secretlink.service.store.alarms import Alarms
from connector.secretlink.service.store.chain import ChainReport, Check, Event, EventKind, Visitor
from connector.secretlink.service.store.claims import Asked, Claims
from connector.secretlink.service.store.database import (
    checkpoint,
    looking,
    open_engine,
    require_tables,
    try_to_write,
)
from connector.secretlink.service.store.eventlog import EventLog
from connector.secretlink.service.store.links import (
    AlarmRecord,
    Conflict,
    EventPage,
    LinkRecord,
    NewAlarm,
    NewLink,
    Refused,
    Revealed,
)
from connector.secretlink.service.store.making import Making
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.records import Records
from connector.secretlink.service.store.register import Register
from connector.secretlink.service.store.retention import Retention, Slice

_MOST_BURSTS: Final = 1000

T = TypeVar("T")


class Vault:
    """The link service's database. Safe for several threads and, on PostgreSQL, several processes.

    Links and alarms are found by their lookup (`seal.lookup_of` of the token). Every method that writes calls
    `on_event` after its commit, when it wrote an event; now and then also when it wrote none.
    """

    def __init__(
        self,
        database: str,
        peppers: Peppers | Pepper,
        *,
        clock: Callable[[], datetime],
        on_event: Callable[[], None] = lambda: None,
        on_opening: Callable[[], None] | None = None,
        mask_ip: bool = False,
    ) -> None:
        """Open the database.

        Args:
            database: SQLAlchemy address.
            peppers: One alone is the current one.
            clock: Returns the time now, with a zone.
            on_opening: Called when an opening waits to be written: call `write_openings` soon after. `None`: openings
                are written at once.
            mask_ip: Write no whole address of a visitor down.

        Raises:
            ConfigError: The database cannot be opened or has no tables yet, or holds links that live and were made
                under a pepper that is not among these.
        """
        self.engine = open_engine(database)
        peppers = peppers if isinstance(peppers, Peppers) else Peppers(peppers)
        self._records = Records(self.engine, peppers, clock=clock, mask_ip=mask_ip, on_openings=on_event)
        self._making = Making(self._records)
        self._register = Register(self._records)
        self._claims = Claims(self._records)
        self._alarms = Alarms(self._records)
        self._retention = Retention(self._records)
        self._event_log = EventLog(self._records)
        self._on_event = on_event
        self._on_opening = on_opening
        self._clock = clock
        self._bursts: list[datetime] = []
        try:
            require_tables(self.engine)
            self._records.require_peppers()
        except ConfigError:
            self.close()
            raise

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write into the same database."""
        return self.engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def create(self, new: NewLink) -> tuple[LinkRecord, bool]:
        """Store a link.

        Returns:
            The link, and whether it was made now. Repeating a create with the same content changes nothing and gives
            the link as it is by now, ended or not.

        Raises:
            Conflict: The id or the token belongs to another link.
            ValueError: The link would be born expired.
        """
        try:
            record, created = self._despite_openings(lambda: self._making.create(new))
        except IntegrityError:
            raise Conflict("another link has this token") from None
        if created or record.state == "expired":  # perhaps by this very call
            self._on_event()
        return record, created

    def find(self, link_id: str) -> LinkRecord | None:
        """A link by its id, ended if its time is over; `None` for one that never was or has been purged."""
        link, ended = self._register.settle(self._register.by_id(link_id))
        if ended:
            self._on_event()
        return link

    def look(self, lookup: bytes) -> LinkRecord | None:
        """A link by its lookup, without a trace; `None` for an unknown one. May lag behind an expiry: see `visit`."""
        return self._register.look(self._register.by_lookup(lookup))

    def list_links(self, *, state: str | None, after: str, limit: int) -> Sequence[LinkRecord]:
        """Up to `limit` links with an id above `after`, in the order of their ids.

        Args:
            state: Only links in this state; `None`: all.
            after: The last id of the page before; empty: from the beginning.
        """
        return self._register.page(state=state, after=after, limit=limit)

    def visit(self, link: LinkRecord, kind: EventKind, *, visitor: Visitor, reason: str | None = None) -> LinkRecord:
        """Note that somebody was at a link without revealing it; never uses a view.

        A link whose time is over is ended; one that has ended is noted as `refused`. Where `on_opening` was given, what
        is noted waits: for `write_openings`, or for whatever is written or asked about events next.

        Args:
            link: As `look` or `find` has just given it.

        Returns:
            The link as it is now.
        """
        link = self._register.visit(link, kind, visitor=visitor, reason=reason)
        if self._on_opening is None:
            self.write_openings()
        else:
            self._on_opening()
        return link

    def write_openings(self) -> None:
        """Write the openings that wait. When that fails they wait on."""
        self._register.write_openings()

    def claim(
        self,
        lookup: bytes,
        *,
        nonce: str,
        visitor: Visitor,
        token: bytes | None = None,
        check: bytes | None = None,
    ) -> Revealed | Refused:
        """Use one view and get the password.

        The same nonce again within `SAME_CLICK` gives the same password and is not counted, as long as the link lives.

        Args:
            token: Opens the password here; without it, and only in fragment mode, the sealed bytes are given.
            check: What was typed (`seal.check_of`), for a link that asks for it.

        Returns:
            `Revealed` after the view was counted, recorded and committed; `Refused` when nothing was counted.

        Raises:
            ValueError: The token is not that of the lookup.
        """
        asked = Asked(lookup, nonce, visitor, token, check)
        answer = self._despite_openings(lambda: self._claims.claim(asked))
        if answer.link is not None:
            self._on_event()
        return answer

    def revoke(self, link_id: str) -> LinkRecord | None:
        """End a link now. One that has ended already stays as it is.

        Returns:
            `None` for one that never was. One whose row is not what was made is ended, too, and given without what
            could mislead: see `genuine.unproven`.
        """
        link, ended = self._despite_openings(lambda: self._register.revoke(link_id))
        if ended:
            self._on_event()
        return link

    def arm(self, new: NewAlarm) -> tuple[AlarmRecord, bool]:
        """Store an alarm; as `create`: repeating it with the same content changes nothing.

        Raises:
            Conflict: The id or the token belongs to another alarm.
            ValueError: It would be born expired.
        """
        try:
            return self._despite_openings(lambda: self._alarms.arm(new))
        except IntegrityError:
            raise Conflict("another alarm has this token") from None

    def look_alarm(self, lookup: bytes) -> AlarmRecord | None:
        """An alarm by its lookup, without a trace; `None` for an unknown one."""
        with looking(self.engine) as connection:
            return self._alarms.look(connection, lookup)

    def raise_alarm(self, lookup: bytes, *, visitor: Visitor) -> AlarmRecord | None:
        """Somebody says "this was not me": end the alarm's link and write `reported`, in one transaction, once.

        Returns:
            The alarm as it is now. One that was raised before, or whose time is over, stays as it is. `None` for an
            unknown lookup.
        """
        record, raised = self._despite_openings(lambda: self._alarms.raise_it(lookup, visitor=visitor))
        if raised:
            self._on_event()
        return record

    def report_link(self, lookup: bytes, *, visitor: Visitor) -> LinkRecord | None:
        """The same from the page of the link itself, by who has its token; once per link. Ends it if it still lives.

        Nothing comes of it where the link cannot be reported (any more): see `LinkRecord.can_be_reported`. That it was
        opened is not taken from its row but from the chain, so nobody who writes the database can make it so.

        Returns:
            The link as it is now; `None` for an unknown lookup, and for a row that is not what was made.
        """
        record, reported = self._despite_openings(lambda: self._alarms.report_link(lookup, visitor=visitor))
        if reported:
            self._on_event()
        return record

    def expire_due(self) -> int:
        """End links whose time is over, those that ran out first, one event each.

        Returns:
            How many, at most `retention.LINKS_AT_ONCE`: while `next_expiry` is not in the future there are more.
        """
        soonest = self.next_expiry()
        if soonest is None or soonest > self._clock():
            return 0  # most of the time, and without waiting for a writer
        expired = self._retention.expire()
        if expired:
            self._on_event()
        return expired

    def next_expiry(self) -> datetime | None:
        """When the next link runs out; `None` while there is no active one."""
        return self._register.next_expiry()

    def events(self, *, after: int, limit: int) -> EventPage:
        """Up to `limit` events with a seq above `after`, each checked; see `EventLog.page`.

        Openings that wait are written first. If there is no room for them they wait on, and the rest is told.

        Raises:
            HistoryBroken: One of them is not what was written, or one is missing.
        """
        with suppress(OperationalError):  # a database that is away says so again
            self.write_openings()
        return self._event_log.page(after=after, limit=limit)

    def newest_event(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._event_log.head().seq

    def views_of(self, link_id: str) -> tuple[Event, ...]:
        """The reveals of one link, oldest first: for whoever holds its token. Only those that the chain proves."""
        return self._event_log.of_link(link_id, EventKind.REVEALED)

    def report_of(self, link_id: str) -> Event | None:
        """The first time that somebody said of a link "that was not me"; `None` when nobody has. Proven likewise."""
        return next(iter(self._event_log.of_link(link_id, EventKind.REPORTED)), None)

    def record_burst(self, *, visitor: Visitor) -> None:
        """Note that one address asked for many tokens that do not exist.

        At most `_MOST_BURSTS` times an hour: who has many addresses could fill the disk otherwise.
        """
        now = self._clock()
        self._bursts = [before for before in self._bursts if timedelta(0) <= now - before < timedelta(hours=1)]
        if len(self._bursts) >= _MOST_BURSTS:
            return
        self._bursts.append(now)
        with self._records.writing() as (connection, now_ms):
            self._records.chain.append(connection, EventKind.UNKNOWN_TOKEN_BURST, at_ms=now_ms, visitor=visitor)
        self._on_event()

    def old_up_to(self, ages: Sequence[timedelta]) -> list[int]:
        """For each age, up to which event everything is surely older, though the clock was wrong; 0 while none is.

        To be asked about hourly, by a timer that nobody sets: the answer comes from what the clock said each time. See
        `marks`.
        """
        return self._retention.old_up_to(ages)

    def purge(self, *, up_to: int, over_up_to: int = 0) -> Slice:
        """Forget events up to this number, links that have none left, and alarms that were made before it.

        The first event of a link that lives stops it.

        Args:
            over_up_to: What was made up to this event cannot live any more, whatever its time says, for a clock may
                have been wrong when that was reckoned: such links are ended here. Younger alarms are not forgotten.

        Returns:
            Whether there is more: a call does a bounded part of it. Nothing to forget writes no event.
        """
        purged = self._retention.purge(up_to, over_up_to)
        if purged.wrote_event:
            self._on_event()
        return purged

    def blank(self, *, up_to: int) -> bool:
        """Blank address, city and name of the browser in events up to this number. The chain still proves them.

        Returns:
            Whether there may be more: a call does a bounded part of it.
        """
        return self._retention.blank(up_to)

    def checkpoint(self) -> None:
        """Empty SQLite's write-ahead log, so that wiped blobs are gone from there too."""
        checkpoint(self.engine)

    def is_alive(self) -> bool:
        """Whether links can be read and written. Raises what the database raises when they cannot."""
        try_to_write(self.engine)
        return True

    def check_chain(self, so_far: Check | None) -> Check:
        """Check the next part of the chain; `None`: the first. For whoever must not be kept long."""
        return self._event_log.check(so_far)

    def verify_chain(self) -> ChainReport:
        """Check every kept event against the chain; takes a second for some 50,000 events."""
        return self._event_log.verify()

    def _despite_openings(self, act: Callable[[], T]) -> T:
        """Do something that writes; if it fails together with openings that waited, once more without them.

        What failed was rolled back. If only the answer to its commit was lost, as PostgreSQL's may be, a repeat finds
        what there is by now, and the openings are written twice.
        """
        stayed = self._records.openings_stay_behind
        try:
            return act()
        except OperationalError:
            if stayed or not self._records.openings_stay_behind:
                raise
        return act()
