"""`connector check` for ConnectWise: where it is, the keys, every name of the mapping, the audit trail, the callback.

Everything is looked at even when something before it failed, so that one round of mending is enough. What could only be
tried by writing (notes, closing, time) is not tried; `docs/psa/connectwise.md` lists the rights.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from connector.core.ports import Clock, Finding, Level, StatusTarget
from connector.errors import AuthenticationError, ConnectorError, TemporaryError
from connector.psa.connectwise import conditions
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.approval import find_carrier
from connector.psa.connectwise.lists import named, read_lists
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.connectwise.names import Names, resolve_names
from connector.psa.connectwise.people import People
from connector.psa.connectwise.poll import condition_of
from connector.psa.connectwise.push import Callbacks
from connector.psa.connectwise.trail import Change, changes_of, read_entries
from connector.psa.connectwise.values import (
    FIRST_NOTE,
    REFERENCES,
    TEXTS,
    Record,
    as_record,
    fold,
    identifier,
    number,
    records,
    reference,
)
from connector.psa.mapping import Named, resolve_all

BUILT_IN_FIELDS = (FIRST_NOTE, *TEXTS, *REFERENCES)
TRAILS_LOOKED_AT = 5
RIGHTS = "Give the API member's security role the right to read it (docs/psa/connectwise.md, section 1)."

Found = TypeVar("Found")


class ConnectWiseCheck:
    """One round of looking."""

    def __init__(
        self,
        api: ConnectWiseApi,
        mapping: ConnectWiseMapping,
        callbacks: Callbacks,
        clock: Clock,
        *,
        member: str | None,
        where: str,
    ) -> None:
        self._api = api
        self._mapping = mapping
        self._callbacks = callbacks
        self._people = People(api, clock)
        self._member = member
        self._about = api.scope
        self._where = where

    def findings(self) -> Iterator[Finding]:
        """Every finding, problems and good news. Raises none of ours."""
        nothing_else = "Nothing else could be looked at."
        try:
            info = self._api.company_info()
        except ConnectorError as failure:
            yield self._refused("url", str(failure), nothing_else, failure)
            return
        cloud = "hosted by ConnectWise" if info.cloud else "on its own server"
        yield self._ok("url", f"ConnectWise PSA {info.version} answers, {cloud}, code base {info.codebase}.")
        try:
            self._api.get("system/info")
        except ConnectorError as failure:
            yield self._refused("private_key", str(failure), nothing_else, failure)
            return
        yield self._ok("private_key", "ConnectWise accepts the keys and the client id.")
        yield from self._who_we_are()
        names = yield from self._names()
        tickets = (yield from self._tickets(names)) if names else []
        yield from self._fields(tickets)
        if names:
            yield from self._trails(names, tickets)
            yield from self._approvers(names)
        yield from self._registered()

    # -- one subject each

    def _who_we_are(self) -> Iterator[Finding]:
        if self._member is None:
            yield Finding(
                Level.WARNING,
                f"{self._about}.member",
                "It is not said which API member we are, so the notes of every API member count as ours.",
                f"Set {self._about}.member to the API member's identifier.",
            )
            return
        found = yield from self._try(partial(self._people.member, self._member), "system/members")
        if found is None:
            yield Finding(
                Level.ERROR,
                f"{self._about}.member",
                f"There is no member with the identifier {self._member!r}, so none of our notes would be recognised.",
                "Write the identifier (Member ID) of the API member whose keys these are.",
                temporary=True,
            )
        elif not found.program:
            yield Finding(
                Level.WARNING,
                f"{self._about}.member",
                f"{self._member} is not marked as an API member.",
                "Use an API member of its own: a person's keys would make that person's approvals ours, and void.",
            )
        else:
            yield self._ok("member", f"We are the API member {found.identifier}.")

    def _names(self) -> Generator[Finding, None, Names | None]:
        read = yield from self._try(lambda: read_lists(self._api, self._mapping, self._where), "A list of names")
        if read is None:
            return None
        lists, problems = read
        names, more = resolve_names(lists, self._mapping, self._where)
        for problem in (*problems, *more):
            yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        if names is None or problems:
            return None
        yield self._ok(
            "mapping", "Every board, type, status, contact type, member, team and priority of the mapping exists."
        )
        yield from self._alarm(names)
        for board in names.boards.values():
            closed = board.targets.get(StatusTarget.CLOSED)
            if closed is not None and closed not in board.closing:
                yield Finding(
                    Level.WARNING,
                    f"{self._about}.mapping",
                    f"The status {board.statuses[closed]} of the board {board.name} does not close tickets.",
                    "Mark it as closed in the board's set-up, or map statuses.closed to one that is.",
                )
        return names

    def _alarm(self, names: Names) -> Iterator[Finding]:
        """Where a ticket goes when somebody says "this was not me"."""
        for board in names.boards.values():
            status = board.status_for(StatusTarget.ALARM)
            if status is None and board.open_status is None:
                yield Finding(
                    Level.WARNING,
                    f"{self._about}.mapping",
                    'No status is mapped for alarms ("this was not me"), nor for hand-offs, and the board '
                    f"{board.name} has no default status of its own for them: a closed ticket stays closed.",
                    "Name one under statuses.alarm.",
                )
            elif status is None or StatusTarget.ALARM not in board.targets:
                said = board.statuses[status or board.open_status or 0]
                why = "hand-offs go" if status is not None else "new tickets begin"
                yield self._ok("mapping", f"Alarms of the board {board.name} go where {why}, to {said}.")

    def _tickets(self, names: Names) -> Generator[Finding, None, list[Record]]:
        """The newest mapped tickets. A role that may see none gets an empty list and no error, so the count is
        shown."""
        wanted = {"conditions": condition_of(names)}
        counted = yield from self._try(lambda: self._api.get("service/tickets/count", wanted), "Tickets")
        if counted is None:
            return []
        count = number((as_record(counted.body) or {}).get("count"))
        if not count:
            yield Finding(
                Level.WARNING,
                f"{self._about}.tickets",
                "No ticket of the mapped types can be seen.",
                "When there are some, give the security role Service Desk / Service Tickets: Inquire All, and look for "
                "limits of the API member to certain locations or boards.",
            )
            return []
        yield self._ok("tickets", f"Tickets of the mapped types that can be seen: {count}.")
        page = {**wanted, "orderBy": "id desc", "page": "1", "pageSize": str(TRAILS_LOOKED_AT)}
        listed = yield from self._try(lambda: self._api.get("service/tickets", page), "Tickets")
        rows = records(listed.body) if listed else []
        return [row for row in rows if names.request(reference(row, "board"), reference(row, "type")) is not None]

    def _fields(self, tickets: list[Record]) -> Iterator[Finding]:
        """Captions are looked up among all definitions, and among the fields that a ticket really shows."""
        try:
            rows = self._api.everything("system/userDefinedFields")
        except ConnectorError:
            rows = []  # nothing else needs them; a ticket shows its fields, too
        shown = [entry for ticket in tickets for entry in records(ticket.get("customFields"))]
        defined = {fold(one.name): one for one in named([*rows, *shown], "caption")}
        if not defined:
            yield Finding(
                Level.WARNING,
                f"{self._about}.mapping",
                "Custom fields could not be looked up: no definition can be read, and there is no ticket to see.",
                "Give the role System / Table Setup: Inquire All, or run the check again when there is a ticket.",
            )
            return
        known = [*defined.values(), *(Named(name, name) for name in BUILT_IN_FIELDS)]
        _, problems = resolve_all(self._field_names(), known, what="field", where=self._where)
        for problem in problems:
            yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        if not problems:
            yield self._ok("mapping", "Every field of the mapping exists.")

    def _field_names(self) -> dict[str, str]:
        wanted: dict[str, str] = {}
        for index, request in enumerate(self._mapping.requests):
            sources = {"subject": request.subject.field, "action": request.action.field}
            sources["reason"] = request.reason.field if request.reason else None
            wanted |= {f"requests.{index}.{key}.field": field for key, field in sources.items() if field is not None}
        if self._mapping.approval.field:
            wanted["approval.field.field"] = self._mapping.approval.field.field
        return wanted

    def _trails(self, names: Names, tickets: list[Record]) -> Iterator[Finding]:
        """Whether the audit trail can be read, and whether what it says about decisions is understood."""
        about = f"{self._about}.approval"
        if not tickets:
            yield Finding(
                Level.WARNING,
                about,
                "The audit trail could not be tried: there is no ticket to look at.",
                "Run the check again when there is one. Until the trail can be read, nothing counts as approved.",
            )
            return
        understood, unclear = 0, ""
        for ticket in tickets:
            wanted = {"type": "Ticket", "id": str(identifier(ticket)), "page": "1", "pageSize": "1000"}
            try:
                reply = self._api.get("system/audittrail", wanted)
            except ConnectorError as failure:
                yield self._refused(
                    "approval",
                    f"The audit trail cannot be read, so nothing would count as approved: {failure}",
                    "Give the API member's role the right to see audit trails (which one that is, is not published: "
                    "try System / Member Maintenance and Table Setup with Inquire All).",
                    failure,
                )
                return
            board = names.boards[reference(ticket, "board") or 0]
            carrier = find_carrier(ticket, board, self._mapping.approval)
            rules = self._mapping.approval.trail
            entries = read_entries(reply.body)
            rows = changes_of(carrier.label, carrier.values, entries, wordings=rules.wordings, others=carrier.others)
            for row in rows:
                if isinstance(row, Change):
                    understood += 1
                else:
                    kind = row.entry.sub_kind or row.entry.kind or "a row"
                    unclear = unclear or f"ticket {identifier(ticket)}, {kind}"
        if unclear:
            yield Finding(
                Level.WARNING,
                about,
                f"The audit trail has a row about the approval that is not understood ({unclear}); a decision before "
                "such a row does not count.",
                "Compare its sentence with docs/psa/connectwise.md, section 5; add it under approval.trail.wordings.",
            )
        elif understood:
            yield self._ok(
                "approval", f"The audit trail can be read. Changes in it that were understood: {understood}."
            )
        else:
            yield Finding(
                Level.WARNING,
                about,
                "The audit trail can be read, but no change was seen in it yet, so its wording could not be tried.",
                "Approve a test ticket by hand and run the check again.",
            )

    def _approvers(self, names: Names) -> Iterator[Finding]:
        if self._mapping.approval.approvers.who == "listed" and not names.contact_types:
            yield Finding(
                Level.WARNING,
                f"{self._about}.approval",
                "No contact type says who is asked, so approvers are not reminded by mail.",
                "Name one under approval.contact_types, or have a workflow rule of the board remind them.",
            )
        if not names.contact_types:
            return
        wanted = {"childConditions": conditions.is_one_of("types/id", names.contact_types), "pageSize": "1"}
        reply = yield from self._try(lambda: self._api.get("company/contacts", wanted), "Contacts")
        if reply is not None and not records(reply.body):
            yield Finding(
                Level.WARNING,
                f"{self._about}.approval",
                "No contact of any company has one of approval.contact_types yet.",
                "Give the type to those who approve, in each company.",
            )

    def _registered(self) -> Iterator[Finding]:
        about = f"{self._about}.callback"
        try:
            described = self._callbacks.described()
        except ConnectorError as failure:
            yield Finding(
                Level.WARNING,
                about,
                f"Callbacks cannot be looked at: {failure}",
                "Polling works without. Which right they need is not published.",
            )
            return
        if described:
            yield self._ok("callback", " ".join(described))
        else:
            yield Finding(
                Level.WARNING,
                about,
                "No callback is registered, so changes are only seen by polling.",
                "If ConnectWise can reach the connector: connector psa register-callback "
                f"{self._about.removeprefix('psa.')} --url https://…",
            )

    # -- inside

    def _ok(self, about: str, said: str) -> Finding:
        return Finding(Level.OK, f"{self._about}.{about}", said)

    def _try(self, call: Callable[[], Found], what: str) -> Generator[Finding, None, Found | None]:
        try:
            return call()
        except ConnectorError as failure:
            yield self._refused("rights", f"{what} cannot be read: {failure}", RIGHTS, failure)
            return None

    def _refused(self, about: str, said: str, todo: str, failure: ConnectorError) -> Finding:
        for_now = isinstance(failure, TemporaryError | AuthenticationError)
        return Finding(Level.ERROR, f"{self._about}.{about}", said, todo, temporary=for_now)
