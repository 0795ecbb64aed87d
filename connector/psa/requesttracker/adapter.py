"""Request Tracker 5 as a `Psa`, over its REST 2 interface.

One list call per poll brings changed requests and changed approvals alike. Reading a ticket takes two calls: the ticket
with its approvals, and those lines of their histories that matter; a decision with words takes a third, once. What
counts as a yes is in `requesttracker.approval`, what is
written in `requesttracker.write`, what an admin has to set up in `docs/psa/requesttracker.md`.

Tried against Request Tracker 5.0.3 (Debian 12) on 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from connector.core.secret import Secret
from connector.errors import PermanentError, TemporaryError
from connector.psa.mapping import read_mapping
from connector.psa.requesttracker.alarm import OPEN, Alarms
from connector.psa.requesttracker.approval import ENDED, History, change_moment, last_change, read_approval
from connector.psa.requesttracker.check import findings
from connector.psa.requesttracker.mapping import (
    RequestTrackerMapping,
    RequestTrackerRequest,
    action_of,
    client_of,
    is_status,
    request_of,
    text,
    watched,
)
from connector.psa.requesttracker.people import People
from connector.psa.requesttracker.poll import Cursor, changes_since, raised_since
from connector.psa.requesttracker.push import PushSection, tickets_in, token_of
from connector.psa.requesttracker.rest import (
    APPROVALS,
    SYSTEM,
    Rest,
    TicketRow,
    Transaction,
    any_of,
    fold,
    read_ticket,
)
from connector.psa.requesttracker.write import Writer, key_of


class RequestTrackerSection(Section):
    """`psa.<name>` with `kind: requesttracker`.

    Attributes:
        budget: Our share of the calls that the server can bear; `None`: RT has no limit of its own.
        push: How a scrip of RT proves itself; `None`: whatever it sends only means "poll".
    """

    kind: Literal["requesttracker"]
    url: Url
    token: SecretValue
    mapping: str
    budget: OwnBudgetSection | None = None
    push: PushSection | None = None


class RequestTracker:
    """A Request Tracker 5 server. Safe to use from several threads."""

    def __init__(
        self, *, name: str, rest: Rest, mapping: RequestTrackerMapping, clock: Clock, push_token: Secret | None = None
    ) -> None:
        self._name = name
        self._push_token = push_token
        self._writer = Writer(name, rest, mapping)
        self._alarms = Alarms(rest, mapping, self._writer)
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
        push_token = token_of(settings.push, f"psa.{name}")
        key = f"psa.{name}.mapping"
        mapping = read_mapping(RequestTrackerMapping, settings.mapping, surroundings.place, key=key)
        budget = settings.budget.share_of(None, where=f"psa.{name}") if settings.budget else None
        http = surroundings.http_for(system=SYSTEM, scope=f"psa.{name}", budget=budget)
        rest = Rest(http, settings.url, settings.token)
        return cls(name=name, rest=rest, mapping=mapping, clock=surroundings.clock, push_token=push_token)

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> Rules:
        return self._mapping.rules

    def check(self) -> Iterator[Finding]:
        """See `Psa.check`. Statuses and rights can only partly be tried from outside; what could not be says so.

        Not in the background: a daemon checks when it starts, and these calls would use up what a budget keeps for
        polls.
        """
        yield from findings(self._name, self._rest, self._mapping)

    def changed(self, cursor: str | None) -> Changes:
        """See `Psa.changed`. One call, and one more for each further hundred changed tickets."""
        return changes_since(self._rest.in_background(), self._mapping, Cursor.read(cursor), self._clock())

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:
        """See `Psa.raised_since`. Merged and deleted tickets are not listed by RT."""
        return raised_since(self._rest.in_background(), self._mapping, since, self._clock())

    def heard(self, push: Push) -> Sequence[str]:
        """See `Psa.heard`. Without `push` in the configuration a push only means "poll"."""
        return tickets_in(push, self._push_token, self._name)

    # ---------------------------------------------------------------- reading

    def read(self, ticket_id: str) -> Ticket:
        """See `Psa.read`."""
        key = key_of(ticket_id)
        approvals = f"(DependedOnBy = {key} AND Type = 'approval' AND Queue = '{APPROVALS}')"
        rows = [read_ticket(row) for row in self._rest.tickets(f"id = {key} OR {approvals}")]
        ticket = next((row for row in rows if row.id == key), None)
        if ticket is None:
            self._writer.look_for(key)
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
            retry_requested=is_status(row.status, statuses.retry),
            handed_off=is_status(row.status, statuses.hand_off),
            approval=reading,
            created_at=row.created,
            updated_at=row.updated,
            request_changed_at=changed,
            taken_by=self._taken_by(row) if request is not None else "",
            also_not_approvers=tuple(dict.fromkeys((*row.requestors[1:], *(() if row.by_rt else (row.creator,))))),
            url=f"{self._rest.url}/Ticket/Display.html?id={row.id}",
        )

    def _taken_by(self, row: TicketRow) -> str:
        """The person who owns the ticket, where the mapping claims tickets; nobody, we ourselves and RT are none.

        In the retry status an agent has given the ticket back, whoever still stands there as its owner; in the alarm
        status we have given it to people ourselves.
        """
        statuses = self._mapping.statuses
        given = is_status(row.status, statuses.retry) or is_status(row.status, statuses.alarm)
        if not self._mapping.claim or row.owner is None or given:
            return ""
        return "" if self._writer.is_ours(row.id, row.owner_name) else row.owner.name

    def _closed(self, row: TicketRow) -> bool:
        """Whether RT counts the status among the ended ones. Own life cycles are asked about, once per status."""
        statuses = self._mapping.statuses
        if fold(row.status) in ENDED or is_status(row.status, statuses.closed):
            return True
        if fold(row.status) in OPEN or any(
            is_status(row.status, one) for one in (statuses.working, statuses.hand_off, statuses.retry)
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
            these = " OR ".join(f"ObjectId = {key_of(one)}" for one in approvals)
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

    # ---------------------------------------------------------------- writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        """See `Psa.add_note`. Public notes are replies, which RT mails to the requestors."""
        self._writer.add_note(key_of(ticket_id), note)

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """See `Psa.has_note`. Only notes that our own user wrote are looked at."""
        return self._writer.has_note(key_of(ticket_id), marker)

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """See `Psa.move`, and `RequestTrackerMapping.claim` for what it does to the owner."""
        if target is StatusTarget.ALARM:
            return self._alarms.bring_back(key_of(ticket_id))
        return self._writer.move(key_of(ticket_id), target)
