"""`connector check` for HaloPSA: the credentials, every name of the mapping, the outcome, the approval processes.

Everything is looked at even when something before it failed, so that one round of mending is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from connector.core.ports import Finding, Level
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.psa import halopsa_names
from connector.psa.halopsa_api import HaloApi
from connector.psa.halopsa_approval import automatic_switches
from connector.psa.halopsa_json import as_record, identifier, number, records, text
from connector.psa.halopsa_names import Names
from connector.psa.mapping import HaloMapping, Named, resolve

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
            yield self._refused("client_secret", str(failure), "Nothing else could be looked at.", failure)
            return
        yield Finding(Level.OK, f"{self._about}.client_secret", f"HaloPSA accepts the credentials{self._who()}.")
        names = yield from self._names()
        yield from self._outcome()
        yield from self._fields()
        if names:
            yield from self._list(names)
            yield from self._processes(names)

    # -- one subject each

    def _names(self) -> Generator[Finding, None, Names | None]:
        types = yield from self._try(lambda: halopsa_names.ticket_types(self._api), "TicketType")
        statuses = yield from self._try(lambda: halopsa_names.statuses(self._api), "Status")
        if types is None or statuses is None:
            return None
        names, problems = halopsa_names.resolve_names(types, statuses, self._mapping, self._where)
        for problem in problems:
            yield Finding(Level.ERROR, f"{self._about}.mapping", problem)
        if names and not problems:
            yield Finding(Level.OK, f"{self._about}.mapping", "Every ticket type and status of the mapping exists.")
        return names

    def _outcome(self) -> Iterator[Finding]:
        outcomes = yield from self._try(lambda: halopsa_names.outcomes(self._api), "Outcome")
        if outcomes is not None:
            yield from self._resolve(self._mapping.note_outcome, outcomes, "outcome", "note_outcome")

    def _fields(self) -> Iterator[Finding]:
        fields = yield from self._try(lambda: halopsa_names.fields(self._api), "FieldInfo")
        if fields is None:
            return
        known = [*fields, *(Named(name, name) for name in BUILT_IN_FIELDS)]
        for index, request in enumerate(self._mapping.requests):
            wanted = {"subject": request.subject.field, "action": request.action.field}
            wanted["reason"] = request.reason.field if request.reason else None
            for key, field in wanted.items():
                if field is not None:
                    yield from self._resolve(field, known, "field", f"requests.{index}.{key}.field")

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

    def _processes(self, names: Names) -> Iterator[Finding]:
        seen: set[int] = set()
        for type_id, request in sorted(names.requests.items()):
            reply = yield from self._try(partial(self._api.get, f"TicketType/{type_id}", DETAILS), "TicketType")
            if reply is None:
                continue
            process_id = identifier(as_record(reply.body) or {}, "approval_process_id")
            if process_id is None:
                yield Finding(
                    Level.WARNING,
                    f"{self._about}.approval",
                    f"The ticket type {request.ticket_type} starts no approval process by itself.",
                    "Make sure that its workflow starts one; until an approver says yes, nothing is reset.",
                )
            elif process_id not in seen:
                seen.add(process_id)
                yield from self._process(process_id, names)

    def _process(self, process_id: int, names: Names) -> Iterator[Finding]:
        """Its errors are mended in HaloPSA and read anew there, so they do not keep the other types from starting."""
        about = f"{self._about}.approval"
        reply = yield from self._try(lambda: self._api.get(f"ApprovalProcess/{process_id}"), "ApprovalProcess")
        if reply is None:
            return
        process = as_record(reply.body) or {}
        title = f"The approval process {text(process, 'name')} ({process_id})"
        switches = automatic_switches(process)
        if switches is None:
            yield Finding(
                Level.ERROR,
                about,
                f"{title} shows no steps, so none of its approvals will count.",
                "Let the connector's agent see it, or set approval.allow_auto_approval: true in the mapping.",
                temporary=True,
            )
            return
        if switches and not self._mapping.approval.allow_auto_approval:
            yield Finding(
                Level.ERROR,
                about,
                f"{title} may approve by itself: {', '.join(switches)}. None of its approvals will count.",
                "Switch that off in HaloPSA, or set approval.allow_auto_approval: true in the mapping.",
                temporary=True,
            )
        last = max(records(process.get("steps")), key=lambda step: number(step.get("sequence")) or 0)
        after = identifier(last, "statusafteraccept")
        if after is not None and after not in names.approved:
            yield Finding(
                Level.ERROR,
                about,
                f"{title} sets the status {names.statuses.get(after, '?')} ({after}) after the last yes, which is not "
                "one of the approved statuses: no ticket would ever count as approved.",
                "Add that status to approval.approved_statuses.",
                temporary=True,
            )
        elif not switches:
            yield Finding(Level.OK, about, f"{title} needs a person's yes.")

    # -- inside

    def _who(self) -> str:
        try:
            me = as_record(self._api.get("Agent/me").body) or {}
        except ConnectorError:
            return ""  # a courtesy only: no right is needed for it
        name = text(me, "name")
        return f"; we are the agent {name}" if name else ""

    def _resolve(self, wanted: str, known: list[Named], what: str, place: str) -> Iterator[Finding]:
        try:
            found = resolve(wanted, known, what=what, where=f"{self._where}{place}")
        except ConfigError as failure:
            yield Finding(Level.ERROR, f"{self._about}.mapping", str(failure))
        else:
            yield Finding(Level.OK, f"{self._about}.mapping", f"{place}: {found.name} exists.")

    def _try(self, call: Callable[[], Found], what: str) -> Generator[Finding, None, Found | None]:
        try:
            return call()
        except ConnectorError as failure:
            todo = "Give the API application and its agent the right to read it (docs/halopsa.md)."
            yield self._refused("rights", f"{what} cannot be read: {failure}", todo, failure)
            return None

    def _refused(self, about: str, said: str, todo: str, failure: ConnectorError) -> Finding:
        for_now = isinstance(failure, TemporaryError | AuthenticationError)
        return Finding(Level.ERROR, f"{self._about}.{about}", said, todo, temporary=for_now)
