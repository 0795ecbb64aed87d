"""Which tickets changed: one walk over ConnectWise's list, and the cursor that makes the next walk short.

The clock is ConnectWise's alone (see `watermark`); its dates have whole seconds. Pages are forward-only, by id, so a
ticket that changes during the walk skips no other. Conditions hold ids and dates only, and whatever comes back is
tested against each of them again. Sources: developer guide, "Conditions" and "Pagination"; every record can be asked
for by `lastUpdated` (amp-labs/connectors, django-connectwise); read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from connector.core.ports import ChangedTicket, Changes
from connector.psa.connectwise import conditions
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.names import Names
from connector.psa.connectwise.ticket import SERVICE_TICKET
from connector.psa.connectwise.values import Record, flag, identifier, inner, moment, records, reference, text, updated
from connector.psa.watermark import Cursor, remember

FUTURE = timedelta(days=1)
"""How far ahead of now a row may be and still count at all."""

LONGEST_CONDITION = 1200
"""Addresses should stay below 2,000 characters (developer guide, read 2026-11-22), and brackets and blanks triple."""


def changed(api: ConnectWiseApi, names: Names, written: str | None, now: datetime) -> Changes:
    """One poll; one call when nothing is new. See `connector.core.ports.Psa.changed`.

    Args:
        now: By our own clock; only used where ConnectWise tells no time.
    """
    cursor = Cursor.read(written)
    since = cursor.newest - cursor.overlap if cursor.newest else None
    wanted = conditions.since("lastUpdated", since) if since else conditions.is_true("closedFlag", truth=False)

    def fits(row: Record) -> bool:
        at = updated(row)
        return not flag(row, "closedFlag") if since is None else at is None or at >= since.replace(microsecond=0)

    rows, sent_at = _walk(api, names, wanted, fits)
    digests = {key: _digest(row) for key, row in rows.items()}
    news = tuple(ChangedTicket(str(key), str(key)) for key in sorted(rows) if cursor.told.get(key) != digests[key])
    newest = _newest(rows, sent_at or now.astimezone(UTC), cursor.newest)
    after = Cursor(
        newest=newest,
        told=remember(digests, {key: updated(row) for key, row in rows.items()}),
        newest_at=sent_at if newest != cursor.newest else cursor.newest_at,
        walked_at=sent_at,
    )
    return Changes(news, after.written())


def raised_since(api: ConnectWiseApi, names: Names, since: datetime) -> tuple[ChangedTicket, ...]:
    """Every mapped ticket that was created since then, closed ones too, oldest first.

    `dateEntered` can be asked for though it stands in `_info` (developer guide's examples, read 2026-11-22).
    """

    def entered(row: Record) -> datetime:
        return moment(inner(row, "_info"), "dateEntered") or moment(row, "dateEntered") or since

    rows, _ = _walk(api, names, conditions.since("dateEntered", since), lambda row: entered(row) >= since)
    return tuple(ChangedTicket(str(key), str(key)) for key in sorted(rows, key=lambda key: (entered(rows[key]), key)))


def condition_of(names: Names) -> str:
    """Mapped boards and types. Without the types where that would be too long: rows are tested again anyway."""
    boards = conditions.is_one_of("board/id", names.boards.keys())
    types = conditions.is_one_of("type/id", {kind for _, kind in names.requests})
    both = conditions.all_of(boards, types)
    return both if len(both) <= LONGEST_CONDITION else boards


def _walk(
    api: ConnectWiseApi, names: Names, wanted: str, fits: Callable[[Record], bool]
) -> tuple[dict[int, Record], datetime | None]:
    """Mapped rows by id, and ConnectWise's clock at the first page."""
    found: dict[int, Record] = {}
    sent_at: datetime | None = None
    query = {"conditions": conditions.all_of(condition_of(names), wanted)}
    for reply in api.pages("service/tickets", query, background=True):
        sent_at = sent_at or reply.sent_at
        found |= {
            key: row
            for row in records(reply.body)
            if (key := identifier(row)) is not None and _is_mapped(row, names) and fits(row)
        }
    return found, sent_at


def _is_mapped(row: Record, names: Names) -> bool:
    # That tickets of projects never come is not promised everywhere.
    kind = text(row, "recordType")
    return kind in ("", SERVICE_TICKET) and names.request(reference(row, "board"), reference(row, "type")) is not None


def _newest(rows: Mapping[int, Record], now: datetime, before: datetime | None) -> datetime | None:
    """The newest date of a row, but no later than now: one that was dated ahead, while the server's clock was wrong,
    would hide every change until then. The next walk finds such a row again, and knows it."""
    dates = [at for row in rows.values() if (at := updated(row)) is not None]
    moments = [min(at, now) for at in dates if at <= now + FUTURE]
    return max([*moments, *([before] if before else [])], default=None)


def _digest(row: Record) -> str:
    """What makes a row new, besides its date, which has whole seconds only. Counters of the service level are left
    out: they run on by themselves."""
    said = {
        "updated": text(inner(row, "_info"), "lastUpdated"),
        "summary": text(row, "summary"),
        "closed": flag(row, "closedFlag"),
        **{key: reference(row, key) for key in ("board", "type", "subType", "status", "company", "contact", "owner")},
        "fields": [[identifier(entry), str(entry.get("value"))] for entry in records(row.get("customFields"))],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
