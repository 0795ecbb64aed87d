"""The one place where a view is used.

What people rely on:

* Never more views than allowed, whoever asks at the same time: one conditional UPDATE counts, nothing else does.
* No reveal without a record, and no counted view without a reveal: counting, decrypting, wiping and the event commit
  together, and the password is returned only after the commit. A crash in between loses the answer, never the count.
* A link that cannot be decrypted (another blob, wrong pepper) costs no view, and one whose row is not what was made is
  unknown.
* What has to be typed is compared in the same transaction, one answer after the other: nobody gets more than
  `MOST_WRONG_ANSWERS` tries by asking many times at once.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from connector.secretlink.seal import SealBroken, Terms, lookup_of, open_sealed
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.chain import EventKind, Visitor
from connector.secretlink.service.store.genuine import is_as_made
from connector.secretlink.service.store.links import ACTIVE, FRAGMENT, Refused, Revealed
from connector.secretlink.service.store.records import IS_ACTIVE, Records, record_from

SAME_CLICK: Final = timedelta(seconds=60)
"""How long the same nonce is taken for the same click, answered again and not counted."""
MOST_WRONG_ANSWERS: Final = 5
"""With this one the link is revoked."""

_LINK: Final = tables.link.c
_USE_A_VIEW: Final = (
    update(tables.link)
    .where(
        _LINK.id == bindparam("link_id"), IS_ACTIVE, _LINK.views < _LINK.max_views,
        _LINK.expires_at > bindparam("now_seconds"),
    )
    .values(
        views=_LINK.views + 1,
        first_view_ms=func.coalesce(_LINK.first_view_ms, bindparam("now_ms")),
        last_view_ms=bindparam("now_ms"),
    )
    .returning(tables.link)
)  # fmt: skip
_WIPE: Final = (
    update(tables.link)
    .where(_LINK.id == bindparam("link_id"))
    .values(state=bindparam("new_state"), ended_ms=bindparam("now_ms"), blob=None)
)
_ANSWERED_AT: Final = select(tables.event.c.at_ms).where(
    tables.event.c.link_id == bindparam("link_id"), tables.event.c.nonce == bindparam("asked_nonce")
)


@dataclass(frozen=True)
class Asked:
    """Everything that one request for a view says. `repr` shows no secret."""

    lookup: bytes = field(repr=False)
    nonce: str
    visitor: Visitor
    token: bytes | None = field(repr=False)
    check: bytes | None = field(repr=False)


class Claims:
    """Uses views."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def claim(self, asked: Asked) -> Revealed | Refused:
        """One transaction. A link that does not decrypt is as if nobody had asked, but for a `refused` event."""
        try:
            return self._claim(asked)
        except SealBroken:
            with self._records.writing() as (connection, now_ms):
                row = self._records.row_by_lookup(connection, asked.lookup)
                return self._refuse(connection, row, now_ms, asked, reason="damaged")

    def _claim(self, asked: Asked) -> Revealed | Refused:
        if asked.token is not None and not hmac.compare_digest(lookup_of(asked.token), asked.lookup):
            raise ValueError("the token is not the one of the lookup")
        with self._records.writing() as (connection, now_ms):
            row = self._records.row_by_lookup(connection, asked.lookup)
            if row is None or self._records.known(row) is None:
                return Refused("unknown", None)
            if row.state != ACTIVE or row.expires_at <= now_ms // 1000:
                if self._answered_at(connection, row.id, asked.nonce) is None:
                    return self._refuse(connection, row, now_ms, asked)
                return Refused("repeated", self._records.settled(connection, row, now_ms))
            if asked.token is None and row.mode != FRAGMENT:
                return self._refuse(connection, row, now_ms, asked, reason="mode")
            if not self._is_right(row, asked.check):
                return self._wrong_answer(connection, row, now_ms, asked)
            answered_ms = self._answered_at(connection, row.id, asked.nonce) if row.views else None
            if answered_ms is not None:
                return self._repeat(row, asked, answered_ms, now_ms)
            return self._count(connection, row, now_ms, asked)

    def _count(self, connection: Connection, row: Row[Any], now_ms: int, asked: Asked) -> Revealed | Refused:
        now = {"link_id": row.id, "now_ms": now_ms}
        counted = connection.execute(_USE_A_VIEW, {**now, "now_seconds": now_ms // 1000}).one_or_none()
        if counted is None:  # somebody else writes into this database
            return self._refuse(connection, row, now_ms, asked)
        record = record_from(counted)
        # Inside the transaction on purpose: when this raises, the count above is rolled back.
        revealed = self._open(counted, asked, counted=True)
        if record.views_left == 0:
            record = replace(record, state="consumed", ended_ms=now_ms)
            connection.execute(_WIPE, {**now, "new_state": record.state})
        self._records.chain.append(
            connection, EventKind.REVEALED, at_ms=now_ms, link_id=row.id, ref=row.ref, visitor=asked.visitor,
            view=record.views, views_left=record.views_left, nonce=asked.nonce,
        )  # fmt: skip
        return replace(revealed, link=record)

    def _answered_at(self, connection: Connection, link_id: str, nonce: str) -> int | None:
        return connection.execute(_ANSWERED_AT, {"link_id": link_id, "asked_nonce": nonce}).scalar_one_or_none()

    def _repeat(self, row: Row[Any], asked: Asked, answered_ms: int, now_ms: int) -> Revealed | Refused:
        """Answer the same click again, while it is fresh."""
        if abs(now_ms - answered_ms) > SAME_CLICK.total_seconds() * 1000:  # a clock may have been set back
            return Refused("repeated", self._records.known(row))
        return self._open(row, asked, counted=False)

    def _is_right(self, row: Row[Any], check: bytes | None) -> bool:
        if row.check_mac is None:
            return True
        pepper = self._records.peppers.find(row.pepper_id)
        return check is not None and pepper is not None and hmac.compare_digest(row.check_mac, pepper.check_mac(check))

    def _wrong_answer(self, connection: Connection, row: Row[Any], now_ms: int, asked: Asked) -> Refused:
        """Count a wrong answer; with the last one the link ends. None at all is refused but not counted."""
        link = tables.link.c
        if asked.check is not None:
            row = connection.execute(
                update(tables.link)
                .where(link.id == row.id)
                .values(check_failures=link.check_failures + 1)
                .returning(tables.link)
            ).one()
        record = self._records.known(row)
        if record is None:  # somebody else writes into this database
            return Refused("unknown", None)
        # A wrong answer is always written down: there are few. Answers left out could be sent without an end.
        self._records.note(
            connection, record, EventKind.CHECK_FAILED, now_ms=now_ms, visitor=asked.visitor,
            reason="wrong" if asked.check is not None else "missing", always=asked.check is not None,
        )  # fmt: skip
        tries_left = MOST_WRONG_ANSWERS - record.check_failures
        if tries_left > 0:
            return Refused("check", record, tries_left)
        self._records.end(
            connection, link.id == row.id, "revoked", EventKind.REVOKED, now_ms,
            reason=EventKind.CHECK_FAILED.value if record.proven else None,
        )  # fmt: skip
        return Refused("revoked", replace(record, state="revoked", ended_ms=now_ms), 0)

    def _refuse(
        self, connection: Connection, row: Row[Any] | None, now_ms: int, asked: Asked, *, reason: str = "damaged"
    ) -> Refused:
        """Say why there is no view, and write it down.

        Args:
            reason: For a link that lives; what has ended is refused for that.
        """
        link = self._records.settled(connection, row, now_ms)
        if link is None:
            return Refused("unknown", None)
        if link.state != ACTIVE:
            reason = link.state
        self._records.note(connection, link, EventKind.REFUSED, now_ms=now_ms, visitor=asked.visitor, reason=reason)
        return Refused(reason, link)

    def _open(self, row: Row[Any], asked: Asked, *, counted: bool) -> Revealed:
        terms = Terms(row.id, row.max_views, row.expires_at)
        pepper = self._records.peppers.find(row.pepper_id)
        if pepper is None:
            raise SealBroken(f"Link {row.id} was made under a pepper that is not known. Put it into old_peppers.")
        sealed = pepper.unwrap(row.blob, terms=terms)
        if not is_as_made(row, self._records.peppers, lookup=asked.lookup, sealed=sealed, check=asked.check):
            raise SealBroken(f"Link {row.id} is not what was made: its row was changed in the database.")
        record = record_from(row)
        if asked.token is None:
            return Revealed(None, record, counted, sealed)
        return Revealed(open_sealed(sealed, token=asked.token, terms=terms), record, counted)
