"""A `CaseStore` in memory. It passes `tests.contracts.case_store.CaseStoreContract`, like the real ones.

`on_call` sees every call twice, before and after its effect, and may raise whatever it likes: a database that is away
(before), or one whose answer got lost (after). The state outlives that, as a database outlives its users.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

from connector.core.case import Action, Case, State
from connector.core.pair import Earlier, is_overtaken
from connector.core.ports import (
    ALARM_REFERENCE,
    AuditEntry,
    AuditLine,
    ChangedTicket,
    LinkEvent,
    LinkEventKind,
    Message,
    OutboxRow,
    Reset,
    Watched,
)
from connector.errors import LostClaim, Overtaken
from connector.store.audit import START, AuditReport, Head, chain, verify
from connector.store.due import FINISHED, next_look
from connector.store.intake import LINK_ENDS, WATCHED_AFTER_ITS_END, believed, new_alarm_reference, new_case

Moment = Literal["before", "after"]
_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_BESIDE: dict[str, Any] = {"views_left": 0, "ip": "", "place": "", "agent": ""}
"""What does not tell two events apart."""


@dataclass
class _Kept:
    case: Case
    next_at: datetime | None
    poked: bool = False
    lease_until: datetime | None = None

    def free(self, now: datetime) -> bool:
        return self.lease_until is None or self.lease_until <= now

    def poke(self, now: datetime) -> None:
        self.poked = True
        if self.next_at is None or self.next_at > now:
            self.next_at = now


@dataclass
class _Poll:
    cursor: str = ""
    next_at: datetime | None = None
    lease_until: datetime | None = None


@dataclass
class _Sent:
    row: OutboxRow
    done_at: datetime | None = None
    failed: str = ""


class MemoryCaseStore:
    """Cases in memory. Safe to share between threads.

    Attributes:
        on_call: Called as `on_call(name, moment)` around each call; what it raises is what the caller sees.
        messages: Every message ever stored, with when it was done and why it was given up.
    """

    def __init__(self, *, on_call: Callable[[str, Moment], None] | None = None) -> None:
        self.on_call = on_call
        self.messages: list[_Sent] = []
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._polls: dict[str, _Poll] = {}
        self._links: dict[str, str] = {}
        self._watched: dict[str, Watched] = {}
        self._events: dict[tuple[str, int], LinkEvent] = {}
        self._audit: list[AuditLine] = []
        self._resets: dict[tuple[str, Action, str], Reset] = {}
        self._paused = ""
        self._numbers = count(1)

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        if self.on_call is not None:
            self.on_call(name, "before")
        with self._lock:
            yield
        if self.on_call is not None:
            self.on_call(name, "after")

    # -- polling

    def claim_poll(self, name: str, *, now: datetime, lease: timedelta, early: timedelta = timedelta(0)) -> str | None:
        with self._call("claim_poll"):
            poll = self._polls.setdefault(name, _Poll())
            held = poll.lease_until is not None and poll.lease_until > now
            if held or (poll.next_at is not None and poll.next_at > now + early):
                return None
            poll.lease_until = now + lease
            return poll.cursor

    def finish_poll(self, name: str, *, cursor: str, next_at: datetime) -> None:
        with self._call("finish_poll"):
            self._polls[name] = _Poll(cursor, next_at)

    def poll_cursor(self, name: str) -> str:
        with self._call("poll_cursor"):
            return self._polls[name].cursor if name in self._polls else ""

    def note_tickets(self, psa: str, tickets: Sequence[ChangedTicket], *, now: datetime) -> int:
        with self._call("note_tickets"):
            known = {kept.case.ticket_id: kept for kept in self._kept.values() if kept.case.psa == psa}
            opened = 0
            for ticket in {ticket.id: ticket for ticket in tickets}.values():
                kept = known.get(ticket.id)
                if kept is None:
                    case = new_case(psa, ticket, now=now)
                    self._kept[case.id] = _Kept(case, now)
                    opened += 1
                elif kept.case.state not in FINISHED:
                    kept.poke(now)
            return opened

    def record_link_events(self, events: Sequence[LinkEvent], *, now: datetime) -> None:
        with self._call("record_link_events"):
            births = [(kept.link_id, kept.at) for kept in self._events.values() if kept.kind is LinkEventKind.CREATED]
            for event in believed([event for event in events if event.link_id in self._links], births):
                place = (event.link_id, event.seq)
                if place not in self._events:
                    self._events[place] = event
                    self._kept[self._links[event.link_id]].poke(now)

    def alarm_reference(self, case_id: str) -> str:
        with self._call("alarm_reference"):
            own = (link for link, owner in self._links.items() if owner == case_id and ALARM_REFERENCE.fullmatch(link))
            reference = next(own, new_alarm_reference())
            self._links[reference] = self._kept[case_id].case.id
            return reference

    def untold(self, events: Sequence[LinkEvent]) -> Sequence[LinkEvent]:
        with self._call("untold"):
            told = {replace(event, seq=0, **_BESIDE) for event in self._events.values()}
            return [event for event in events if replace(event, seq=0, **_BESIDE) not in told]

    # -- working on a case

    def claim_due(self, *, now: datetime, lease: timedelta) -> Case | None:
        with self._call("claim_due"):
            due = [
                (kept.next_at, kept.case.created_at, kept.case.id, kept)
                for kept in self._kept.values()
                if kept.next_at is not None and kept.next_at <= now and kept.free(now)
            ]
            return self._claim(min(due, key=lambda item: item[:3])[3], now + lease) if due else None

    def claim(self, case_id: str, *, now: datetime, lease: timedelta) -> Case | None:
        with self._call("claim"):
            kept = self._kept.get(case_id)
            return self._claim(kept, now + lease) if kept is not None and kept.free(now) else None

    def _claim(self, kept: _Kept, until: datetime) -> Case:
        kept.case = replace(kept.case, version=kept.case.version + 1)
        kept.lease_until, kept.poked = until, False
        return kept.case

    def save(
        self,
        case: Case,
        *,
        now: datetime,
        messages: Sequence[Message] = (),
        audit: Sequence[AuditEntry] = (),
        reset: Reset | None = None,
        beside: Collection[Earlier] | None = None,
        lease: timedelta | None = None,
    ) -> Case:
        with self._call("save"):
            kept = self._kept.get(case.id)
            if kept is None or kept.case.version != case.version:
                raise LostClaim(f"Case {case.id} was claimed or saved by somebody else; nothing was written.")
            if reset is not None and beside is not None:
                others = [
                    one
                    for one in self._resets.values()
                    if one.subject == reset.subject and one.case_id != reset.case_id
                ]
                if any(is_overtaken(one.case_id, one.action, one.at, beside, now=reset.at) for one in others):
                    raise Overtaken(f"Another case wrote to the account of {case.id}; nothing was written.")
            known = {sent.row.message.key for sent in self.messages if sent.row.case_id == case.id}
            news = False
            for message in messages:
                if message.key not in known:
                    known.add(message.key)
                    news = True
                    row = OutboxRow(
                        id=next(self._numbers), case_id=case.id, message=message, attempts=0, created_at=now
                    )
                    self.messages.append(_Sent(row))
            waiting = self._waiting(case.id)
            wish = next_look(
                case,
                now=now,
                keeps_claim=lease is not None,
                new_messages=news,
                oldest_tries=waiting[0].row.attempts if waiting else None,
            )
            saved = replace(case, version=case.version + 1)
            # What never changes is not taken from the caller, as in the real store.
            kept.case = replace(
                saved, psa=kept.case.psa, ticket_id=kept.case.ticket_id, created_at=kept.case.created_at
            )
            kept.lease_until = None if lease is None else now + lease
            if not kept.poked:
                kept.next_at = wish
            if case.link_id:
                self._links.setdefault(case.link_id, case.id)
                if case.link_expires_at is not None:
                    link = Watched(case.link_id, case.link_handle, case.link_expires_at, case.views_allowed)
                    self._watched.setdefault(case.link_id, link)
            if reset is not None:
                self._resets[reset.key] = reset
            self._append(*audit)
            return saved

    def poke(self, case_id: str) -> None:
        with self._call("poke"):
            if case_id in self._kept:
                self._kept[case_id].poke(_AT_ONCE)

    # -- outbox

    def outbox(self, case_id: str) -> Sequence[OutboxRow]:
        with self._call("outbox"):
            return [sent.row for sent in self._waiting(case_id)]

    def _waiting(self, case_id: str) -> list[_Sent]:
        return [sent for sent in self.messages if sent.row.case_id == case_id and sent.done_at is None]

    def message_tried(self, row: OutboxRow) -> None:
        with self._call("message_tried"):
            for sent in self._waiting(row.case_id):
                if sent.row.id == row.id:
                    sent.row = replace(sent.row, attempts=sent.row.attempts + 1)

    def message_done(self, row: OutboxRow, *, now: datetime, failed: str = "") -> None:
        with self._call("message_done"):
            for sent in self._waiting(row.case_id):
                if sent.row.id == row.id:
                    sent.done_at, sent.failed = now, failed

    # -- links

    def watched_links(self, *, now: datetime) -> Sequence[Watched]:
        with self._call("watched_links"):
            ended = {
                event.link_id
                for event in self._events.values()
                if event.kind in LINK_ENDS or (event.kind is LinkEventKind.REVEALED and event.views_left == 0)
            }
            return sorted(
                (
                    link
                    for link in self._watched.values()
                    if link.expires_at > now - WATCHED_AFTER_ITS_END and link.id not in ended
                ),
                key=lambda link: (link.expires_at, link.id),
            )

    def link_events(self, case_id: str, *, after: int) -> Sequence[LinkEvent]:
        with self._call("link_events"):
            ours = [event for event in self._events.values() if self._links[event.link_id] == case_id]
            return sorted((event for event in ours if event.seq > after), key=lambda event: event.seq)

    # -- reading

    def get(self, case_id: str) -> Case | None:
        with self._call("get"):
            kept = self._kept.get(case_id)
            return None if kept is None else kept.case

    def find(self, number: str, *, psa: str | None = None) -> Sequence[Case]:
        with self._call("find"):
            return [
                case
                for case in self._newest_first()
                if number in (case.number, case.ticket_id) and psa in (None, case.psa)
            ]

    def cases(self, *, open_only: bool = False) -> Sequence[Case]:
        with self._call("cases"):
            return [case for case in self._newest_first() if not (open_only and case.state in FINISHED)]

    def _newest_first(self) -> list[Case]:
        every = [kept.case for kept in self._kept.values()]
        return sorted(every, key=lambda case: (case.created_at, case.id), reverse=True)

    def counts(self) -> Mapping[State, int]:
        with self._call("counts"):
            states = [kept.case.state for kept in self._kept.values()]
            return {state: states.count(state) for state in State}

    def audit_of(self, case_id: str) -> Sequence[AuditLine]:
        with self._call("audit_of"):
            return [line for line in self._audit if line.entry.case_id == case_id]

    def audit_lines(self, *, after: int = 0, since: datetime | None = None) -> Iterator[AuditLine]:
        with self._lock:
            lines = list(self._audit)
        yield from (line for line in lines if line.seq > after and (since is None or line.entry.at >= since))

    def verify_audit(self, *, known: Head | None = None) -> AuditReport:
        return verify(self._audit, head=self.head(), known=known)

    def head(self) -> Head:
        with self._lock:
            return Head(self._audit[-1].seq, self._audit[-1].hash) if self._audit else START

    def _append(self, *entries: AuditEntry) -> None:
        self._audit.extend(chain(self.head(), entries))

    def cases_about(self, tenant: str, subject_id: str) -> Sequence[Case]:
        with self._call("cases_about"):
            about = [case for case in self._newest_first() if subject_id and case.subject_id == subject_id]
            return [case for case in about if case.tenant == tenant and case.state not in FINISHED]

    def resets_since(self, since: datetime, *, subject: str | None = None) -> Sequence[Reset]:
        with self._call("resets_since"):
            recent = [one for one in self._resets.values() if one.at >= since and subject in (None, one.subject)]
            return sorted(recent, key=lambda reset: (reset.at, reset.case_id, reset.action))

    # -- the big switch

    def paused(self) -> str:
        with self._call("paused"):
            return self._paused

    def pause(self, reason: str, *, now: datetime) -> None:
        with self._call("pause"):
            text = reason.strip() or "no reason given"
            if self._paused != text:
                self._paused = text
                self._append(AuditEntry(at=now, case_id="", event="paused", facts={"reason": text}))

    def resume(self, *, now: datetime) -> None:
        with self._call("resume"):
            if self._paused:
                self._paused = ""
                self._append(AuditEntry(at=now, case_id="", event="resumed"))

    # -- after a crash

    def release_leases(self) -> int:
        with self._call("release_leases"):
            held: list[_Kept | _Poll] = [*self._kept.values(), *self._polls.values()]
            leased = [item for item in held if item.lease_until is not None]
            for item in leased:
                item.lease_until = None
            return len(leased)

    def close(self) -> None:
        """Nothing to close."""
