"""Which tickets changed: one walk over HaloPSA's list, and the cursor that makes the next walk short.

The clock is HaloPSA's alone (see `watermark`): ours may be wrong, several tickets may share an instant, and it does not
matter whether `lastupdatefromdate` includes its moment (UNVERIFIED). Facts about the list:
public Halo swagger, panoramicdata/HaloPsa.Api; read 2026-11-22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from connector.core.ports import ChangedTicket, Changes
from connector.errors import TemporaryError
from connector.psa.halopsa.api import HaloApi, Reply
from connector.psa.halopsa.values import Record, as_record, flag, identifier, moment, number, records, text
from connector.psa.watermark import Cursor, remember

PAGE_SIZE = 100  # HaloPSA's own limit, whatever is asked for
WALKS = 3
FUTURE = timedelta(hours=14)
"""How far ahead of HaloPSA's `Date` a row may be and still move the cursor: the widest offset of a local time. One
imported ticket that was "updated" next year would otherwise hide every change until then."""


MARGIN_OF_RAISED = timedelta(days=1)
LAST_DAY = datetime(2099, 12, 31, tzinfo=UTC)
"""An end for a search by dates that has none: whether HaloPSA takes one bound alone is not documented."""


@dataclass(frozen=True)
class Walk:
    """What the list said.

    Attributes:
        rows: By ticket id, of mapped types only.
        complete: As many tickets came as HaloPSA had counted.
        sent_at: HaloPSA's clock, where it told.
    """

    rows: Mapping[int, Record]
    complete: bool
    sent_at: datetime | None


def changed(api: HaloApi, type_ids: Collection[int], written: str | None) -> Changes:
    """One poll. See `connector.core.ports.Psa.changed`.

    When nothing is new this is one call. Rows move between pages while they are read: a ticket on two pages is told
    once, and when fewer tickets came than HaloPSA counted, the list is walked again; should they still be missing,
    the cursor stays where it was.
    """
    cursor = Cursor.read(written)
    wanted = {"requesttype": ",".join(str(type_id) for type_id in sorted(type_ids))}
    if cursor.newest is None:
        wanted["open_only"] = "true"
    else:
        wanted["lastupdatefromdate"] = f"{cursor.newest - cursor.overlap:%Y-%m-%dT%H:%M:%S}"
    walk = _walk(api, wanted, type_ids)
    rows = {key: row for key, row in walk.rows.items() if cursor.newest is not None or not flag(row, "hasbeenclosed")}
    digests = {key: _digest(row) for key, row in rows.items()}
    news = tuple(ChangedTicket(str(key), str(key)) for key in sorted(rows) if cursor.told.get(key) != digests[key])
    after = _after(cursor, rows, walk) if walk.complete else cursor
    dates = {key: _updated(row) for key, row in rows.items()}
    return Changes(news, replace(after, told=remember(digests, dates)).written())


def raised_since(api: HaloApi, type_ids: Collection[int], since: datetime) -> tuple[ChangedTicket, ...]:
    """Every ticket of these types that was raised since then, closed ones too, oldest first.

    HaloPSA is asked for a day more at each end, because what zone its bounds are in is not documented (UNVERIFIED),
    and each row is looked at again, because parameters that it does not know are ignored.

    Raises:
        TemporaryError: HaloPSA does not tell, or its list moved so much that tickets were missing.
    """
    wanted = {
        "requesttype": ",".join(str(type_id) for type_id in sorted(type_ids)),
        "datesearch": "dateoccured",  # as HaloPSA spells it
        "startdate": f"{since - MARGIN_OF_RAISED:%Y-%m-%dT%H:%M:%S}",
        "enddate": f"{LAST_DAY:%Y-%m-%dT%H:%M:%S}",
    }
    walk = _walk(api, wanted, type_ids)
    if not walk.complete:
        raise TemporaryError("HaloPSA's list of tickets moved while it was read, and some were missing. Try again.")
    raised = {key: moment(row, "dateoccurred") for key, row in walk.rows.items()}
    found = sorted((at, key) for key, at in raised.items() if at is not None and at >= since)
    return tuple(ChangedTicket(str(key), str(key)) for _, key in found)


def _walk(api: HaloApi, wanted: Mapping[str, str], type_ids: Collection[int]) -> Walk:
    found: dict[int, Record] = {}
    sent_at: datetime | None = None
    complete, most = False, 0
    for _ in range(WALKS):
        came, total, seen_at = _walk_once(api, wanted)
        found |= came  # the later look at a ticket is the newer one
        sent_at = sent_at or seen_at
        most = max(most, total)
        complete = len(came) >= total or len(found) >= most
        if complete:
            break
    # HaloPSA ignores parameters that it does not know, so each row's type is checked again.
    ours = {key: row for key, row in found.items() if number(row.get("tickettype_id")) in type_ids}
    return Walk(ours, complete, sent_at)


def _walk_once(api: HaloApi, wanted: Mapping[str, str]) -> tuple[dict[int, Record], int, datetime | None]:
    """Every page's rows, how many HaloPSA counted, and when it said so.

    Pages are counted by the rows that came: a server may send fewer than asked for.
    """
    came: dict[int, Record] = {}
    sent_at: datetime | None = None
    page = 1
    while True:
        reply = api.get("Tickets", {**wanted, **_page(page)})
        sent_at = sent_at or reply.sent_at
        rows, total = _rows(reply)
        before = len(came)
        came |= {key: row for row in rows if (key := identifier(row, "id")) is not None}
        if total is None and len(rows) < PAGE_SIZE:
            return came, len(came), sent_at
        if (total is not None and len(came) >= total) or len(came) == before:
            return came, len(came) if total is None else total, sent_at
        page += 1


def _page(page: int) -> dict[str, str]:
    # "pageinate" is how HaloPSA spells it; without it, page_size means nothing. Ordered by id the walk is steady.
    return {
        "pageinate": "true",
        "page_size": str(PAGE_SIZE),
        "page_no": str(page),
        "order": "id",
        "orderdesc": "false",
    }


def _rows(reply: Reply) -> tuple[list[Record], int | None]:
    envelope = as_record(reply.body)
    total = number(envelope.get("record_count")) if envelope else None
    return records(reply.body, "tickets"), total


def _updated(row: Record) -> datetime | None:
    # Builds before 2024-08 call it `flastupdate`.
    return moment(row, "last_update", "flastupdate", "lastactiondate", "dateoccurred")


def _after(cursor: Cursor, rows: Mapping[int, Record], walk: Walk) -> Cursor:
    newest = _newest(rows.values(), walk.sent_at, cursor.newest)
    moved = newest != cursor.newest
    return replace(cursor, newest=newest, newest_at=walk.sent_at if moved else cursor.newest_at, walked_at=walk.sent_at)


def _newest(rows: Collection[Record], sent_at: datetime | None, before: datetime | None) -> datetime | None:
    limit = sent_at + FUTURE if sent_at else None
    moments = [at for row in rows if (at := _updated(row)) is not None and (limit is None or at <= limit)]
    return max([*moments, *([before] if before else [])], default=None)


def _digest(row: Record) -> str:
    """What makes a row new. Counters of the service level run on by themselves and are left out."""
    keys = ("last_update", "flastupdate", "lastactiondate", "status_id", "tickettype_id", "hasbeenclosed", "summary")
    said = "\x1f".join(text(row, key) or str(flag(row, key)) for key in keys)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
