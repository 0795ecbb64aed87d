"""`connector check` for HaloPSA: the credentials, every name of the mapping, the outcome, the approval processes.

Everything is looked at even when something before it failed, so that one round of mending is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from connector.core.ports import Finding, Level, StatusTarget
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.psa.halopsa import lists
from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.check_types import outcome_findings, process_findings, type_findings, workflow_findings
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.halopsa.names import Names, resolve_names, with_people, with_priorities, with_processes
from connector.psa.halopsa.process import read_process
from connector.psa.halopsa.values import Record, as_record, identifier, number, text
from connector.psa.mapping import Named, resolve

BUILT_IN_FIELDS = (
    *("summary", "details", "user_email", "reportedby", "user_name"),
    *(f"category_{number}" for number in range(1, 5)),
    *(f"userdef{number}" for number in range(1, 6)),
)
"""Properties of a ticket, other than custom fields, that can hold an address, an action or a reason."""

DETAILS = {"includedetails": "true"}

Found = TypeVar("Found")


class HaloCheck:
    """One round of looking. `about` starts every finding: `psa.halo`."""

    def __init__(self, api: HaloApi, mapping: HaloMapping, about: str, where: str) -> None:
        self._api = api
        self._mapping = mapping
        self._about = about
        self._where = where

    def findings(self) -> Iterator[Finding]:
        """Every finding, problems and good news. Raises none of ours."""
        try:
            self._api.fetch_token()
        except ConnectorError as failure:
            yield self._refused(
                "client_secret", str(failure), self._hint() or "Nothing else could be looked at.", failure
            )
            return
        yield Finding(Level.OK, f"{self._about}.client_secret", f"HaloPSA accepts the credentials{self._who()}.")
        names = yield from self._names()
        outcome = yield from self._outcome(names)
        yield from self._fields()
        yield from self._users()
        if names:
            yield from self._hand_off(names)
            yield from self._alarm(names)
            yield from self._named_processes(names)
            yield from self._list(names)
            yield from self._types(names, outcome)

    # -- one subject each

    def _names(self) -> Generator[Finding, None, Names | None]:
        types = yield from self._try(lambda: lists.ticket_types(self._api), "TicketType")
        statuses = yield from self._try(lambda: lists.statuses(self._api), "Status")
        if types is None or statuses is None:
            return None
        names, problems = resolve_names(types, statuses, self._mapping, self._where)
        for problem in problems:
            yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        if names and not problems:
            yield Finding(Level.OK, f"{self._about}.mapping", "Every ticket type and status of the mapping exists.")
        return names

    def _outcome(self, names: Names | None) -> Generator[Finding, None, Named | None]:
        rows = yield from self._try(lambda: lists.outcome_rows(self._api), "Outcome")
        if rows is None:
            return None
        known = lists.outcomes_in(rows)
        found = yield from self._resolve(self._mapping.note_outcome, known, "outcome", "note_outcome")
        if found and names:
            row = next(row for row in rows if identifier(row, "id") == int(found.id))
            yield from outcome_findings(row, found, names, about=f"{self._about}.note_outcome")
        return found

    def _fields(self) -> Iterator[Finding]:
        fields = yield from self._try(lambda: lists.fields(self._api), "FieldInfo")
        if fields is None:
            return
        known = [*fields, *(Named(name, name) for name in BUILT_IN_FIELDS)]
        for index, request in enumerate(self._mapping.requests):
            wanted = {"subject": request.subject.field, "action": request.action.field}
            wanted["reason"] = request.reason.field if request.reason else None
            for key, field in wanted.items():
                if field is not None:
                    yield from self._resolve(field, known, "field", f"requests.{index}.{key}.field")

    def _users(self) -> Iterator[Finding]:
        """Whether users can be read, where a field of the mapping names one."""
        if any(request.subject.lookup for request in self._mapping.requests):
            reply = yield from self._try(lambda: self._api.get("Users", {"count": "1"}), "Users")
            if reply is not None:
                yield Finding(Level.OK, f"{self._about}.users", "Users can be read for the look-up fields.")

    def _named_processes(self, names: Names) -> Iterator[Finding]:
        approval = self._mapping.approval
        if approval.processes:
            wanted = approval.processes
            yield from self._look_up(
                lambda: with_processes(self._api, names, wanted, self._where),
                "Approval processes",
                "approval.processes: every one exists.",
            )
        elif approval.approvers.who == "psa":
            yield Finding(
                Level.WARNING,
                f"{self._about}.approval",
                "Whoever may start an approval on a ticket may start one with approvers of their own choice, and with "
                "approvers: psa it counts.",
                "Name the approval processes that count under approval.processes.",
            )

    def _hand_off(self, names: Names) -> Iterator[Finding]:
        rules = (self._mapping.hand_off, self._mapping.alarm)
        if any(rule.team or rule.owner for rule in rules):
            yield from self._look_up(
                lambda: with_people(self._api, names, self._mapping, self._where),
                "Teams or agents",
                "hand_off and alarm: every team and owner exists.",
            )

    def _alarm(self, names: Names) -> Iterator[Finding]:
        """Where a ticket goes when somebody says "this was not me", and with which priority."""
        status = names.status_for(StatusTarget.ALARM)
        if status is None:
            yield Finding(
                Level.WARNING,
                f"{self._about}.mapping",
                'No status is mapped for alarms ("this was not me"), nor for hand-offs: a closed ticket is only opened '
                "again where its type says to which status.",
                "Name one under statuses.alarm.",
            )
        elif StatusTarget.ALARM not in names.targets:
            yield Finding(
                Level.OK,
                f"{self._about}.mapping",
                f"Alarms go where hand-offs go, to {names.statuses[status]}; statuses.alarm would set them apart.",
            )
        wanted = self._mapping.alarm.priority
        if wanted is None:
            return
        try:
            known = lists.priorities(self._api)
            found = with_priorities(known, names, wanted, self._where).priorities
        except ConfigError as failure:
            for problem in failure.problems:
                yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        except ConnectorError as failure:
            todo = "Give the API application and its agent the right to read them."
            yield self._refused("rights", f"Priorities cannot be read: {failure}", todo, failure)
        else:
            without = ", ".join(str(agreement) for agreement in sorted(known.keys() - found.keys()))
            if without:
                yield Finding(
                    Level.WARNING,
                    f"{self._about}.mapping",
                    f"alarm.priority: {wanted} is a priority of some service level agreements only, not of {without} "
                    "(by their numbers): alarms of their tickets keep the priority that they have, and say so.",
                    "Add the priority there.",
                )
            else:
                yield Finding(Level.OK, f"{self._about}.mapping", f"alarm.priority: {wanted} exists.")

    def _look_up(self, look: Callable[[], Names], what: str, good: str) -> Iterator[Finding]:
        """Names of the mapping that are looked up all at once."""
        try:
            look()
        except ConfigError as failure:
            for problem in failure.problems:
                yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        except ConnectorError as failure:
            todo = "Give the API application and its agent the right to read them; hand_off.owner may be an id instead."
            yield self._refused("rights", f"{what} cannot be read: {failure}", todo, failure)
        else:
            yield Finding(Level.OK, f"{self._about}.mapping", good)

    def _list(self, names: Names) -> Iterator[Finding]:
        """An agent without the tickets' teams gets empty lists and no error, so the count is shown."""
        wanted = {"requesttype": ",".join(map(str, sorted(names.requests))), "pageinate": "true", "page_size": "1"}
        reply = yield from self._try(lambda: self._api.get("Tickets", {**wanted, "page_no": "1"}), "Tickets")
        if reply is None:
            return
        count = number((as_record(reply.body) or {}).get("record_count"))
        if count:
            yield Finding(Level.OK, f"{self._about}.tickets", f"{count} tickets of the mapped types can be seen.")
        else:
            yield Finding(
                Level.WARNING,
                f"{self._about}.tickets",
                "No ticket of the mapped types can be seen.",
                "When there are some, give the connector's agent their teams and departments, and the right to see "
                "unassigned tickets and those of others.",
            )

    def _types(self, names: Names, outcome: Named | None) -> Iterator[Finding]:
        """Each mapped ticket type: what it allows, its workflow, its approval process."""
        processes: set[int] = set()
        for type_id, request in sorted(names.requests.items()):
            reply = yield from self._try(partial(self._api.get, f"TicketType/{type_id}", DETAILS), "TicketType")
            if reply is None:
                continue
            record = as_record(reply.body) or {}
            name = text(record, "name") or request.ticket_type
            yield from type_findings(record, name, outcome, names, about=f"{self._about}.workflow")
            workflow_id = identifier(record, "workflow_id")
            if workflow_id is not None and outcome is not None:
                yield from self._workflow(workflow_id, name, outcome)
            process_id = identifier(record, "approval_process_id")
            if process_id is None:
                yield Finding(
                    Level.WARNING,
                    f"{self._about}.approval",
                    f"The ticket type {name} starts no approval process by itself.",
                    "Make sure that its workflow starts one; until an approver says yes, nothing is reset.",
                )
            elif process_id not in processes:
                processes.add(process_id)
                yield from self._process(process_id, names)

    def _workflow(self, workflow_id: int, ticket_type: str, outcome: Named) -> Iterator[Finding]:
        """A workflow that cannot be read is no finding: notes are refused in words where it forbids them."""
        try:
            workflow: Record = as_record(self._api.get(f"Workflow/{workflow_id}", DETAILS).body) or {}
        except ConnectorError:
            return
        yield from workflow_findings(workflow, ticket_type, outcome, about=f"{self._about}.workflow")

    def _process(self, process_id: int, names: Names) -> Iterator[Finding]:
        about = f"{self._about}.approval"
        reply = yield from self._try(lambda: self._api.get(f"ApprovalProcess/{process_id}"), "ApprovalProcess")
        if reply is None:
            return
        process = read_process(as_record(reply.body) or {})
        if process is None:
            yield Finding(
                Level.ERROR,
                about,
                f"The approval process {process_id} shows no steps, so none of its approvals will count.",
                "Let the connector's agent see it, or set approval.allow_auto_approval: true in the mapping.",
                temporary=True,
            )
            return
        yield from process_findings(process, names, self._mapping.approval, about=about)

    # -- inside

    def _who(self) -> str:
        try:
            me = as_record(self._api.get("Agent/me").body) or {}
        except ConnectorError:
            return ""  # a courtesy only: no right is needed for it
        name = text(me, "name")
        return f"; we are the agent {name}" if name else ""

    def _hint(self) -> str:
        """What HaloPSA itself says about where tokens are to be had, when it differs from what is configured."""
        told = self._api.discover()
        if told is None:
            return ""
        if told.auth_url.casefold() != self._api.auth_url.rstrip("/").casefold():
            return (
                f"HaloPSA names {told.auth_url} as its authorisation server, and we asked {self._api.auth_url}: set "
                f"{self._about}.auth_url to it."
            )
        if told.tenant and self._api.tenant and told.tenant.casefold() != self._api.tenant.casefold():
            return f"HaloPSA names its tenant {told.tenant}, and we said {self._api.tenant}: set {self._about}.tenant."
        return ""

    def _resolve(
        self, wanted: str, known: list[Named], what: str, place: str
    ) -> Generator[Finding, None, Named | None]:
        try:
            found = resolve(wanted, known, what=what, where=f"{self._where}{place}")
        except ConfigError as failure:
            yield Finding(Level.ERROR, f"{self._about}.mapping", str(failure))
            return None
        yield Finding(Level.OK, f"{self._about}.mapping", f"{place}: {found.name} exists.")
        return found

    def _try(self, call: Callable[[], Found], what: str) -> Generator[Finding, None, Found | None]:
        try:
            return call()
        except ConnectorError as failure:
            todo = "Give the API application and its agent the right to read it (docs/psa/halopsa.md)."
            yield self._refused("rights", f"{what} cannot be read: {failure}", todo, failure)
            return None

    def _refused(self, about: str, said: str, todo: str, failure: ConnectorError) -> Finding:
        for_now = isinstance(failure, TemporaryError | AuthenticationError)
        return Finding(Level.ERROR, f"{self._about}.{about}", said, todo, temporary=for_now)
