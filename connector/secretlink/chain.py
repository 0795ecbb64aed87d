"""What happened to links, in order, in a chain that shows when something was changed or taken away.

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
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, RowMapping, func, insert, select

from connector.secretlink import tables
from connector.secretlink.peppers import Peppers
from connector.secretlink.place import Place, network_in
from connector.secretlink.seal import Pepper

BEFORE_THE_FIRST: Final = bytes(32)
_FORM: Final = 2
_SALT_BYTES: Final = 16


class EventKind(StrEnum):
    """What can happen. Only `REVEALED` uses a view."""

    CREATED = "created"
    PAGE_OPENED = "page_opened"
    STEP_OPENED = "step_opened"
    REVEALED = "revealed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CHECK_FAILED = "check_failed"
    REPORTED = "reported"
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
        suspect: Why this looks like a machine (`head_request`, `robot_name`, `no_name`) and what network it came from
            (a key of `place.NETWORKS`), with a comma between the two; `none` for neither.
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
        reason: Why something was refused or revoked; for `reported`, through what (`accessed` or `notice`: which mail;
            `page`: the page of the used link); for `purged`, what was removed.
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

    def canonical(self, *, form: int, pepper_id: str | None, salt: bytes | None) -> bytes:
        """The bytes that the chain authenticates: every field, in the order of this class.

        Args:
            form: 1: nothing but the fields; 2: form, pepper and salt in front of them.
        """
        values = [getattr(self, field.name) for field in fields(self)]
        if form != 1:
            values = [f"event {form}", pepper_id, salt.hex() if salt else None, *values]
        return json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode()

    @property
    def is_personal(self) -> bool:
        """Whether anything in it is about one person."""
        return any(value is not None for value in (self.ip, self.user_agent, self.city))

    def blanked(self) -> Event:
        """The same without what is personal; country, kind of browser and everything that happened stay."""
        return replace(self, ip=None, user_agent=None, city=None)


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


class Chain:
    """Appends to and checks the chain, inside transactions that the caller opens."""

    def __init__(self, peppers: Peppers) -> None:
        self._peppers = peppers

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
        """Write one event as the last of the chain. It counts only when the caller's transaction commits.

        The transaction must be one of `database.writing`: commit order must be seq order, or a reader with a cursor
        misses an event that commits late.
        """
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
        connection.execute(insert(tables.event), self._row(head, event))
        return event

    def _row(self, before: Head, event: Event) -> dict[str, object]:
        pepper = self._peppers.current
        salt = secrets.token_bytes(_SALT_BYTES) if event.is_personal else None
        content = event.canonical(form=_FORM, pepper_id=pepper.key_id, salt=salt)
        row: dict[str, object] = {field.name: getattr(event, field.name) for field in fields(event)}
        return row | {
            "form": _FORM, "pepper_id": pepper.key_id, "salt": salt, "mac": _mac(pepper, before.mac + content)
        }  # fmt: skip

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
        checked = unchecked = 0
        known_seen = False
        rows = connection.execution_options(yield_per=500).execute(select(tables.event).order_by(tables.event.c.seq))
        for row in rows.mappings():
            fits = self._fits(before, row)
            # Only the oldest events can be of a pepper that is gone: what comes after ours was written by us.
            is_known = row["pepper_id"] is None or self._peppers.find(row["pepper_id"]) is not None
            known_seen = known_seen or is_known
            if fits is False or (fits is None and known_seen):
                return ChainReport(events=checked, broken_at=row["seq"], unchecked=unchecked)
            unchecked += fits is None
            before = Head(row["seq"], row["mac"])
            checked += 1
        return ChainReport(events=checked, broken_at=None, unchecked=unchecked)

    def _fits(self, before: Head, row: RowMapping) -> bool | None:
        """Whether a row follows `before` and is what was written; `None`: its pepper is not known any more."""
        event = event_from(row)
        if event.seq != before.seq + 1:
            return False
        if row["blanked_mac"] is not None:
            content = _blanked_content(before, row, event)
            return any(hmac.compare_digest(row["blanked_mac"], _mac(pepper, content)) for pepper in self._peppers.known)
        known = self._peppers.find(row["pepper_id"])
        if known is None and row["pepper_id"] is not None:
            return None
        # Of an event of the first form it may not be written down which pepper it was: then any of ours will do.
        content = event.canonical(form=row["form"], pepper_id=row["pepper_id"], salt=row["salt"])
        return any(
            hmac.compare_digest(row["mac"], _mac(pepper, before.mac + content))
            for pepper in ([known] if known else self._peppers.known)
        )

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


def _mac(pepper: Pepper, content: bytes) -> bytes:
    return hmac.new(pepper.chain_key, content, hashlib.sha256).digest()


def _blanked_content(before: Head, row: RowMapping, event: Event) -> bytes:
    mac: bytes = row["mac"]
    content = event.canonical(form=row["form"], pepper_id=row["pepper_id"], salt=None)
    return b"blanked" + before.mac + mac + content


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
