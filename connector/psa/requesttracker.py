"""Request Tracker 5 as a `Psa`, over its REST 2 interface.

One list call per poll brings changed requests and changed approvals alike. Reading a ticket takes two calls: the ticket
with its approvals, and those lines of their histories that matter; a decision with words takes a third, once. What
counts as a yes is in `requesttracker_approval`, what an admin has to set up in `docs/requesttracker.md`.

Tried against Request Tracker 5.0.3 (Debian 12) on 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from connector.adapter import Surroundings
from connector.config import OwnBudgetSection, SecretValue, Section, Url, validate
from connector.core.ports import (
    ApprovalReading,
    ChangedTicket,
    Changes,
    Clock,
    Finding,
    Note,
    Push,
    Rules,
    Stance,
    StatusTarget,
    Ticket,
)
from connector.errors import PermanentError, TemporaryError, TicketGone
from connector.http import Answer
from connector.psa.mapping import RequestTrackerRequest, read_mapping
from connector.psa.requesttracker_approval import ENDED, History, change_moment, last_change, read_approval
from connector.psa.requesttracker_check import findings
from connector.psa.requesttracker_mapping import RtMapping, action_of, client_of, request_of, text, watched
from connector.psa.requesttracker_people import People
from connector.psa.requesttracker_poll import Cursor, changes_since
from connector.psa.requesttracker_rest import (
    APPROVALS,
    SYSTEM,
    Rest,
    TicketRow,
    Transaction,
    any_of,
    fold,
    not_understood,
    quoted,
    read_ticket,
)

KEY = re.compile(r"[1-9][0-9]{0,17}")
MARKER = re.compile(r"[A-Za-z0-9._:-]{1,100}")
OPEN = frozenset({"new", "open", "stalled"})
LONGEST_TITLE = 100
LONGEST_ANSWER = 200


class RequestTrackerSection(Section):
    """`psa.<name>` with `kind: requesttracker`.

    Attributes:
        budget: Our share of the calls that the server can bear; `None`: RT has no limit of its own.
    """

    kind: Literal["requesttracker"]
    url: Url
    token: SecretValue
    mapping: str
    budget: OwnBudgetSection | None = None


@dataclass(frozen=True)
class _Seen:
    status: str
    subject: str
    etag: str | None


class RequestTracker:
    """A Request Tracker 5 server. Safe to use from several threads."""

    def __init__(self, *, name: str, rest: Rest, mapping: RtMapping, clock: Clock) -> None:
        self._name = name
        self._rest = rest
        self._mapping = mapping
        self._clock = clock
        self._people = People(rest, clock)
        self._inactive: dict[tuple[str, str], bool] = {}

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """
        Raises:
            ConfigError: Every problem of the section, or of the mapping that it names.
        """
        settings = validate(RequestTrackerSection, section, surroundings.place, where=f"psa.{name}")
        mapping = read_mapping(RtMapping, settings.mapping, surroundings.place)
        budget = settings.budget.share_of(None, where=f"psa.{name}") if settings.budget else None
        http = surroundings.http_for(system=SYSTEM, scope=f"psa.{name}", budget=budget)
        return cls(name=name, rest=Rest(http, settings.url, settings.token), mapping=mapping, clock=surroundings.clock)

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> Rules:
        return self._mapping.rules

    def check(self) -> Iterator[Finding]:
        """See `Psa.check`. Statuses and rights can only partly be tried from outside; what could not be says so."""
        yield from findings(self._name, self._rest.in_background(), self._mapping)

    def changed(self, cursor: str | None) -> Changes:
        """See `Psa.changed`. One call, and one more for each further hundred changed tickets."""
        return changes_since(self._rest.in_background(), self._mapping, Cursor.read(cursor), self._clock())

    # ---------------------------------------------------------------- reading

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:  # noqa: ARG002
        """See `Psa.raised_since`."""
        raise PermanentError(f"{self._name} cannot list past tickets yet.")

    def heard(self, push: Push) -> Sequence[str]:  # noqa: ARG002
        """See `Psa.heard`. Nothing of a push is read: it means "poll"."""
        return ()

    def read(self, ticket_id: str) -> Ticket:
        """See `Psa.read`."""
        key = _key(ticket_id)
        approvals = f"(DependedOnBy = {key} AND Type = 'approval' AND Queue = '{APPROVALS}')"
        rows = [read_ticket(row) for row in self._rest.tickets(f"id = {key} OR {approvals}")]
        ticket = next((row for row in rows if row.id == key), None)
        if ticket is None:
            self._look_for(key)
            raise TemporaryError(f"{SYSTEM} knows ticket {key} but does not list it. It is tried again.")
        request = request_of(self._mapping, ticket)
        if request is None:
            return self._ticket(ticket, None, ApprovalReading(Stance.NONE), None)
        asked = [row for row in rows if row.id != key]
        history = self._history(key, [row.id for row in asked])
        change = last_change(ticket, history, watched=watched(self._mapping, request, ticket))
        reading = read_approval(
            ticket,
            asked,
            history,
            change,
            anyone=self.rules.approvers_listed,
            asked_by=self._people.asked_by,
            note_of=self._people.words_on,
        )
        return self._ticket(ticket, request, reading, change_moment(ticket, asked, history, change))

    def _ticket(
        self,
        row: TicketRow,
        request: RequestTrackerRequest | None,
        reading: ApprovalReading,
        changed: datetime | None,
    ) -> Ticket:
        statuses = self._mapping.statuses
        client = client_of(self._mapping, row)
        return Ticket(
            psa=self._name,
            id=row.id,
            number=row.id,
            title=row.subject,
            mapped=request is not None,
            client_id=client,
            client_name=client,
            requester=row.requestors[0] if row.requestors else None,
            subject_text=text(row, request.subject) if request else "",
            action=action_of(request, row) if request else None,
            reason=text(row, request.reason) if request else "",
            status=row.status,
            closed=self._closed(row),
            retry_requested=_is(row.status, statuses.retry),
            handed_off=_is(row.status, statuses.hand_off),
            approval=reading,
            created_at=row.created,
            updated_at=row.updated,
            request_changed_at=changed,
            url=f"{self._rest.url}/Ticket/Display.html?id={row.id}",
        )

    def _closed(self, row: TicketRow) -> bool:
        """Whether RT counts the status among the ended ones. Own life cycles are asked about, once per status."""
        statuses = self._mapping.statuses
        if fold(row.status) in ENDED or _is(row.status, statuses.closed):
            return True
        if fold(row.status) in OPEN or any(
            _is(row.status, one) for one in (statuses.working, statuses.hand_off, statuses.retry)
        ):
            return False
        kind = (row.queue_id, row.status)
        if kind not in self._inactive:
            found = [str(one.get("id")) for one in self._rest.tickets(f"id = {row.id} AND Status = '__Inactive__'")]
            self._inactive[kind] = row.id in found
        return self._inactive[kind]

    def _history(self, ticket: str, approvals: Sequence[str]) -> History:
        """What happened to the ticket and its approvals: read newest first until each one's creation was seen.

        Rows that we may not see leave gaps in RT's pages, so nothing else tells where the history ends.
        """
        of_ticket = any_of("Type", ("Create", "Set", "CustomField", "AddWatcher", "DelWatcher", "SetWatcher",
                                    "AddLink", "DeleteLink"))  # fmt: skip
        query = f"(ObjectId = {ticket} AND {of_ticket})"
        if approvals:
            of_approval = any_of("Type", ("Create", "Status", "Correspond"))
            these = " OR ".join(f"ObjectId = {_key(one)}" for one in approvals)
            query = f"({query} OR (({these}) AND {of_approval}))"
        missing = {ticket, *approvals}
        lines: list[Transaction] = []
        for line in self._rest.transactions(f"ObjectType = 'RT::Ticket' AND {query}"):
            lines.append(line)
            if line.type == "Create":
                missing.discard(line.ticket)
            if not missing:
                return History.sort(lines)
        raise PermanentError(
            f"{SYSTEM} does not show the whole history of ticket {', '.join(sorted(missing))}, so nobody can tell what "
            f"was approved. Give the user of {self._name} the rights ShowTicket and SeeCustomField there."
        )

    def _look_for(self, key: str) -> _Seen:
        """What a write needs to know of a ticket, or why there is none.

        RT answers for a merged ticket with the one that took it in, and would also write there: so this comes before
        every write.

        Raises:
            TicketGone: Not there, not visible, deleted, merged.
        """
        answer = self._rest.get(f"/ticket/{key}", expect=(200, 403, 404))
        if answer.status == 404:
            raise TicketGone(f"{SYSTEM} has no ticket {key}. Nothing more can be done with it.")
        if answer.status == 403:
            raise TicketGone(
                f"{SYSTEM} does not show ticket {key} to the user of {self._name}: it was moved out of the mapped "
                "queues, or the right ShowTicket is missing."
            )
        ticket = answer.json()
        if not isinstance(ticket, dict) or not {"id", "Status", "Subject"} <= ticket.keys():
            raise not_understood("a ticket")
        if str(ticket["id"]) != key:
            raise TicketGone(f"Ticket {key} was merged into {ticket['id']} in {SYSTEM}. Go on there.")
        if ticket["Status"] == "deleted":
            raise TicketGone(f"Ticket {key} was deleted in {SYSTEM}. Nothing more can be done with it.")
        return _Seen(status=str(ticket["Status"]), subject=str(ticket["Subject"]), etag=answer.headers.get("ETag"))

    # ---------------------------------------------------------------- writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        """See `Psa.add_note`. A private note is a comment, a public one a reply, which RT mails to the requestors."""
        key = _key(ticket_id)
        seen = self._look_for(key)
        title = " ".join(seen.subject.split())[:LONGEST_TITLE]
        reference = f"connector ref={_marker(note.marker)}"
        answer = self._rest.send(
            "POST",
            f"/ticket/{key}/{'correspond' if note.public else 'comment'}",
            {
                # RT gives a transaction's subject back as its `Data`, which can be searched for; its text cannot be.
                "Subject": f"{title} [{reference}]" if note.public else reference,
                "Content": f"{note.text}\n\n[{reference}]",
                "ContentType": "text/plain",
            },
            expect=(201, 400, 403, 404),
            unchanged=None,  # RT answers 412 here whatever the ETag is
        )
        if answer.status != 201:
            self._look_for(key)
            right = "ReplyToTicket" if note.public else "CommentOnTicket"
            raise PermanentError(
                f"{SYSTEM} refused a note on ticket {key} ({answer.status}). "
                f"Give the user of {self._name} the right {right} on its queue."
            )

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """See `Psa.has_note`. Only notes that our own user wrote are looked at."""
        key, reference = _key(ticket_id), f"ref={_marker(marker)}"
        exactly = re.compile(rf"(?<![\w.:-]){re.escape(reference)}(?![\w.:-])")
        written = any_of("Type", ("Comment", "Correspond"))
        ours = f"(Creator = '__CurrentUser__' AND Data LIKE {quoted(reference)} AND {written})"
        # The creation is the oldest line of all: when it comes, there is nothing more.
        query = f"ObjectType = 'RT::Ticket' AND ObjectId = {key} AND ({ours} OR Type = 'Create')"
        for line in self._rest.transactions(query):
            if line.type == "Create":
                return False
            if exactly.search(line.data):
                return True
        return False

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """See `Psa.move`. RT answers 200 also when it did nothing, so the status is read back."""
        status = self._mapping.statuses.target(target)
        if status is None:
            return False
        key = _key(ticket_id)
        before = self._look_for(key)
        if _is(before.status, status):
            return True
        answer = self._rest.send(
            "PUT", f"/ticket/{key}", {"Status": status}, expect=(200, 400, 403, 404), unchanged=before.etag
        )
        now = self._look_for(key).status
        if not _is(now, status):
            raise PermanentError(
                f"{SYSTEM} left ticket {key} in the status {now} instead of {status}: {_said(answer)}. "
                "Check the life cycle of its queue, open approvals, and the right ModifyTicket."
            )
        return True


def _key(ticket_id: str) -> str:
    """The id as a number: it becomes part of a query."""
    if not KEY.fullmatch(ticket_id):
        raise TicketGone(f"{SYSTEM} has no ticket with the id {ticket_id[:40]!r}: its ids are numbers.")
    return ticket_id


def _marker(marker: str) -> str:
    if not MARKER.fullmatch(marker):
        raise ValueError(f"{marker[:40]!r} is no marker: one word of letters, digits and . _ : - is wanted")
    return marker


def _is(status: str, mapped: str | None) -> bool:
    return mapped is not None and fold(status) == fold(mapped)


def _said(answer: Answer) -> str:
    """RT's own reason: a list of sentences such as "Ticket 1: That ticket has unresolved dependencies"."""
    try:
        body = answer.json()
    except TemporaryError:
        body = []
    said = "; ".join(str(one) for one in body) if isinstance(body, list) else ""
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return clean[:LONGEST_ANSWER].rstrip(".") or "it gave no reason"
