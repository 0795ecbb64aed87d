"""What changed in Request Tracker since the last poll, in one list call while there is less than a page of it.

Dates in TicketSQL are read in the API user's own time zone, and several notations silently mean something else (an
epoch number means 1970, a time with a Z loses its time). Right for everybody is only `'N minutes ago'`, counted by the
server's clock; so the cursor holds when we asked last by our own clock, the question reaches back that long and some
minutes more, and what was already told is left out. Tried against RT 5.0.3 on 2026-11-22.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector.core.ports import ChangedTicket, Changes
from connector.psa.requesttracker.approval import ENDED
from connector.psa.requesttracker.mapping import RequestTrackerMapping, our_queues, our_requests, request_of
from connector.psa.requesttracker.rest import APPROVALS, Rest, fold, read_ticket, understood

OVERLAP = timedelta(minutes=5)
"""For clocks that run apart a little, answers that take long, and changes saved late."""
MOST_WATCHED = 5000


@dataclass(frozen=True)
class Cursor:
    """What is remembered between polls.

    Attributes:
        at: When we asked last, by our clock.
        told: What each row of the last answer looked like, so that the overlap brings nothing twice.
        watched: Mapped open tickets that were told, oldest first: they are told once more when they stop being
            mapped, or when one of their approvals changes. (A withdrawn approval does not touch the ticket itself.)
    """

    at: datetime
    told: Mapping[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ()

    def write(self) -> str:
        return json.dumps({"at": self.at.isoformat(), "told": dict(self.told), "watched": list(self.watched)})

    @classmethod
    def read(cls, text: str | None) -> Cursor | None:
        """`None` for a cursor of another version, too: then everything is asked for once."""
        try:
            data = json.loads(text or "")
            at = datetime.fromisoformat(data["at"])
            told = {str(key): str(value) for key, value in data["told"].items()}
            watched = tuple(str(one) for one in data["watched"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return cls(at, told, watched) if at.tzinfo else None


def changes_since(rest: Rest, mapping: RequestTrackerMapping, cursor: Cursor | None, now: datetime) -> Changes:
    """Tickets that changed since `cursor`; without one, or with one from the future, every open request.

    Raises:
        TemporaryError, AuthenticationError: Ask again with the same cursor.
    """
    if cursor is not None and cursor.at <= now:
        minutes = math.ceil((now - cursor.at + OVERLAP).total_seconds() / 60)
        approvals = f"(Type = 'approval' AND Queue = '{APPROVALS}')"
        query = f"({our_queues(mapping)} OR {approvals}) AND LastUpdated > '{minutes} minutes ago'"
        known = cursor
    else:
        query = f"{our_requests(mapping)} AND Status = '__Active__'"
        known = Cursor(now)
    watched = dict.fromkeys(known.watched)
    changed: dict[str, None] = {}
    told: dict[str, str] = {}
    # RT's own paging can show a ticket on two pages when it changes meanwhile, or none: the overlap brings it then.
    rows = {str(row.get("id")): row for row in rest.tickets(query, more=",LastUpdatedBy,_hyperlinks")}
    for raw in rows.values():
        row = read_ticket(raw)
        told[row.id] = _look(raw)
        if known.told.get(row.id) == told[row.id]:
            continue
        if row.type == "ticket":
            if request_of(mapping, row) is not None:
                watched[row.id] = None
                changed[row.id] = None
                if fold(row.status) in ENDED:
                    del watched[row.id]
            elif row.id in watched:
                del watched[row.id]
                changed[row.id] = None
        else:
            changed.update(dict.fromkeys(one for one in _depending(raw) if one in watched))
    after = Cursor(now, told, tuple(watched)[-MOST_WATCHED:])
    return Changes(tuple(ChangedTicket(id=one, number=one) for one in changed), after.write())


def raised_since(
    rest: Rest, mapping: RequestTrackerMapping, since: datetime, now: datetime
) -> tuple[ChangedTicket, ...]:
    """The requests that were created since then, whatever became of them, oldest first.

    Raises:
        TemporaryError, AuthenticationError.
    """
    minutes = max(1, math.ceil((now - since + OVERLAP).total_seconds() / 60))
    query = f"{our_requests(mapping)} AND Created > '{minutes} minutes ago'"
    rows = {row.id: row for row in map(read_ticket, rest.tickets(query, oldest="Created"))}
    return tuple(
        ChangedTicket(id=row.id, number=row.id)
        for row in rows.values()
        if row.created >= since and request_of(mapping, row) is not None
    )


def _look(row: dict[str, Any]) -> str:
    """A short form of everything in a row that can matter. RT's dates are whole seconds: two changes may share one."""
    content = {key: value for key, value in row.items() if key != "_hyperlinks"}
    content["CustomFields"] = sorted(
        (str(one.get("id")), [str(value) for value in one.get("values", ())]) for one in row.get("CustomFields") or ()
    )
    content["links"] = sorted(_depending(row))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _depending(row: dict[str, Any]) -> Iterable[str]:
    """The tickets that depend on this one, and those on which it depends."""

    def read(row: dict[str, Any]) -> list[str]:
        links = row.get("_hyperlinks") or ()
        return [str(link["id"]) for link in links if link["ref"] in ("depended-on-by", "depends-on")]

    found: list[str] = understood(read, row, "the links of a ticket")
    return found
