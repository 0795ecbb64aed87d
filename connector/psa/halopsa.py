"""The adapter to HaloPSA (and HaloITSM and HaloServiceDesk, which share its API).

Set-up and the mapping: docs/halopsa.md. Sources of vendor facts: the public Halo swagger, Halo guides 2345 and 2396,
real answers in uktrade/help-desk-service, CIPP-API, homotechsual/HaloAPI; read 2026-11-22. HaloPSA has neither row
versions nor idempotency keys: a ticket is read again right before anything depends on it, a note is found again by
its marker, a status change is read back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal, Self

from connector.adapter import Surroundings
from connector.config import Budget, BudgetSection, SecretValue, Section, Url, validate
from connector.core.ports import ChangedTicket, Changes, Clock, Finding, Note, Push, Rules, StatusTarget, Ticket
from connector.errors import AuthenticationError, ConfigError, PermanentError, TicketGone
from connector.psa import halopsa_changes
from connector.psa.halopsa_api import HaloApi, NotThere, tenant_of
from connector.psa.halopsa_approval import automatic_switches, judge
from connector.psa.halopsa_check import HaloCheck
from connector.psa.halopsa_json import Record, as_record, flag, identifier, number, records, text
from connector.psa.halopsa_names import Catalogue, Names
from connector.psa.halopsa_ticket import approval_facts, is_ours, note_html, read_ticket
from connector.psa.halopsa_votes import Vote, read_vote, read_votes
from connector.psa.mapping import HaloMapping, read_mapping

PROCESS_REMEMBERED = timedelta(minutes=10)
REFUSAL_REMEMBERED = timedelta(minutes=1)
MOST_ACTIONS = "500"
PUBLISHED_LIMIT = Budget(500, timedelta(minutes=3))
"""Of all tools of a customer together. Source: Halo's fair use policy (guide 1748), read 2026-11-22. Older reports of
300 and 450 calls in five minutes contradict it; our share leaves room for them."""


class HaloSection(Section):
    """`psa.<name>` with `kind: halopsa`.

    Attributes:
        url: Where agents open HaloPSA.
        api_url, auth_url: Resource and authorisation server; default: `url` with `/api` and with `/auth`.
        tenant: Default: the first word of the host for instances hosted by Halo, else none.
        scope: Rights asked for with the token, separated by blanks.
        budget: Our share of the calls that HaloPSA allows.
    """

    kind: Literal["halopsa"] = "halopsa"
    url: Url
    client_id: str
    client_secret: SecretValue
    mapping: str
    api_url: Url | None = None
    auth_url: Url | None = None
    tenant: str | None = None
    scope: str = "read:tickets edit:tickets read:customers"
    budget: BudgetSection = BudgetSection()


class HaloPsa:
    """One HaloPSA. Implements `connector.core.ports.Psa`; safe to use from several threads."""

    def __init__(self, *, name: str, url: str, api: HaloApi, mapping: HaloMapping, where: str, clock: Clock) -> None:
        self._name = name
        self._url = url
        self._api = api
        self._mapping = mapping
        self._where = where
        self._clock = clock
        self._catalogue = Catalogue(api, mapping, where)
        self._processes: dict[int, tuple[datetime, tuple[str, ...] | None]] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build from `psa.<name>`. Reads the mapping; talks to nobody.

        Raises:
            ConfigError: Every problem of the section and of the mapping.
        """
        problems: list[str] = []
        try:
            checked = validate(HaloSection, section, surroundings.place, where=f"psa.{name}")
        except ConfigError as failure:
            problems.extend(failure.problems)
        file = section.get("mapping")
        if isinstance(file, str):
            try:
                mapping = read_mapping(HaloMapping, file, surroundings.place)
            except ConfigError as failure:
                problems.extend(failure.problems)
        if problems:
            raise ConfigError(problems)
        budget = checked.budget.share_of(PUBLISHED_LIMIT, where=f"psa.{name}")
        api = HaloApi(
            http=surroundings.http_for(system="HaloPSA", scope=f"psa.{name}", budget=budget),
            scope=f"psa.{name}",
            api_url=checked.api_url or f"{checked.url}/api",
            auth_url=checked.auth_url or f"{checked.url}/auth",
            client_id=checked.client_id,
            client_secret=checked.client_secret,
            rights=checked.scope,
            tenant=tenant_of(checked.url) if checked.tenant is None else checked.tenant,
            clock=surroundings.clock,
        )
        return cls(
            name=name,
            url=checked.url,
            api=api,
            mapping=mapping,
            where=f"{checked.mapping}: ",
            clock=surroundings.clock,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> Rules:
        return self._mapping.rules

    def check(self) -> Iterable[Finding]:
        """See `Psa.check`."""
        return HaloCheck(self._api.in_background(), self._mapping, f"psa.{self._name}", self._where).findings()

    # -- reading

    def changed(self, cursor: str | None) -> Changes:
        """See `Psa.changed`; one call when nothing is new.

        A name of the mapping that does not exist (which `check` tells at the start, unless HaloPSA was away then)
        raises `AuthenticationError`, too: it pauses this PSA until the mapping is right, and loses nothing.
        """
        try:
            return halopsa_changes.changed(self._api.in_background(), set(self._names().requests), cursor)
        except PermanentError as failure:
            # A list that is refused or not there is no matter of one ticket: address or rights are wrong.
            raise AuthenticationError(str(failure), scope=f"psa.{self._name}") from None

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:  # noqa: ARG002
        """See `Psa.raised_since`."""
        raise PermanentError(f"{self._name} cannot list past tickets yet.")

    def heard(self, push: Push) -> Sequence[str]:  # noqa: ARG002
        """See `Psa.heard`. Nothing of a push is read: it means "poll"."""
        return ()

    def read(self, ticket_id: str) -> Ticket:
        """See `Psa.read`; one call, and a second only where votes or the approval process are not at hand.

        HaloPSA keeps no history that we could read, so `request_changed_at` is always `None`.
        """
        names = self._names()
        detail = self._detail(ticket_id)
        votes = read_votes(detail, int(ticket_id))
        if not votes and number(detail.get("status_id")) in names.approved:
            votes = self._votes_apart(int(ticket_id))
        facts = approval_facts(detail, votes, names, self._mapping.approval, self._automatic)
        return read_ticket(self._name, detail, names, judge(facts), url=f"{self._url}/ticket?id={ticket_id}")

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """See `Psa.has_note`. Only actions written by an API application count: people can copy a marker."""
        wanted = {"ticket_id": _key(ticket_id), "count": MOST_ACTIONS, "excludesys": "true", "includehtmlnote": "true"}
        try:
            reply = self._api.get("Actions", wanted)
        except NotThere:
            raise self._gone(ticket_id) from None
        return any(is_ours(action, marker) for action in records(reply.body, "actions"))

    # -- writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        """See `Psa.add_note`. Sent as an action with the mapped outcome, without a mail from HaloPSA."""
        action = {
            "ticket_id": int(_key(ticket_id)),
            "outcome_id": self._outcome(),
            "note_html": note_html(note),
            "hiddenfromuser": not note.public,
            "sendemail": False,
        }
        self._write("Actions", action, ticket_id)

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """See `Psa.move`. The answer is read, and the ticket itself where the answer does not show the new status."""
        names = self._names()
        status = names.targets.get(target)
        if status is None:
            return False
        change: dict[str, object] = {"id": int(_key(ticket_id)), "status_id": status}
        if target is StatusTarget.CLOSED:
            change["_appointment01_ok"] = True  # otherwise an open appointment makes HaloPSA ask back
        answer = self._write("Tickets", change, ticket_id)
        if not _stands(answer, ticket_id, status, target):
            found = self._detail(ticket_id)
            if not _stands(found, ticket_id, status, target):
                raise PermanentError(
                    f"HaloPSA took the change of ticket {ticket_id} to {names.statuses.get(status, status)!r}, but "
                    f"the ticket stands in {_status_name(found, names)!r}. Look for a workflow or rule that moves it, "
                    "and for mandatory fields or open child tickets; then set the status by hand."
                )
        return True

    # -- inside

    def _names(self) -> Names:
        with self._mapping_trouble():
            return self._catalogue.names()

    def _outcome(self) -> int:
        with self._mapping_trouble():
            return self._catalogue.outcome()

    @contextmanager
    def _mapping_trouble(self) -> Iterator[None]:
        try:
            yield
        except (ConfigError, PermanentError) as failure:
            raise AuthenticationError(str(failure), scope=f"psa.{self._name}") from None

    def _detail(self, ticket_id: str) -> Record:
        """The ticket as it is now.

        Raises:
            TicketGone: Not there, deleted, merged into another one, or not visible to us while others are.
        """
        wanted = {"includedetails": "true", "includelastaction": "false", "nocache": "true"}
        try:
            detail = as_record(self._api.get(f"Tickets/{_key(ticket_id)}", wanted).body) or {}
        except NotThere:
            raise self._gone(ticket_id) from None
        except AuthenticationError:
            if self._sees_others(ticket_id):
                raise self._gone(ticket_id) from None
            raise
        other = identifier(detail, "merged_into_id")
        if identifier(detail, "id") != int(ticket_id) or flag(detail, "deleted") or other not in (None, int(ticket_id)):
            raise self._gone(ticket_id)
        return detail

    def _sees_others(self, ticket_id: str) -> bool:
        """After a refused detail: whether it is this ticket alone that we may not see.

        A refusal of one ticket must not pause the whole PSA, and a withdrawn right must not end every case.
        Raises `AuthenticationError` when the list is refused, too.
        """
        types = ",".join(map(str, sorted(self._names().requests)))
        reply = self._api.get(
            "Tickets", {"requesttype": types, "pageinate": "true", "page_size": "100", "page_no": "1"}
        )
        seen = {identifier(row, "id") for row in records(reply.body, "tickets")}
        return bool(seen) and int(ticket_id) not in seen

    def _votes_apart(self, ticket_id: int) -> tuple[Vote, ...]:
        """The votes from their own list, for a ticket that says it is approved and shows none."""
        try:
            reply = self._api.get("TicketApproval", {"ticket_id": str(ticket_id)})
        except (AuthenticationError, PermanentError):
            return ()  # the ticket itself could be read; without votes it does not count as approved
        # An ignored parameter would answer the votes of every ticket.
        own = [row for row in records(reply.body, "approvals") if identifier(row, "ticket_id") == ticket_id]
        return tuple(read_vote(row, ticket_id, current=True) for row in own)

    def _automatic(self, process_id: int) -> tuple[str, ...] | None:
        """How a process may approve by itself; `None` when it cannot be read. Remembered for a while."""
        now = self._clock()
        with self._lock:
            known = self._processes.get(process_id)
        if known and known[0] > now:
            return known[1]
        try:
            process = as_record(self._api.get(f"ApprovalProcess/{process_id}").body) or {}
            switches = automatic_switches(process) if identifier(process, "id") == process_id else None
        except (AuthenticationError, PermanentError):
            switches = None
        remembered = REFUSAL_REMEMBERED if switches is None else PROCESS_REMEMBERED
        with self._lock:
            self._processes[process_id] = (now + remembered, switches)
        return switches

    def _write(self, path: str, record: Mapping[str, object], ticket_id: str) -> Record:
        try:
            return self._api.post(path, record)
        except NotThere:
            raise self._gone(ticket_id) from None
        except PermanentError:
            self._detail(ticket_id)  # what is refused for a ticket that is gone is no refusal: raises TicketGone
            raise

    def _gone(self, ticket_id: str) -> TicketGone:
        return TicketGone(
            f"HaloPSA has no ticket {ticket_id} that we may see. It was deleted or merged, or moved to a team that "
            f"the agent of psa.{self._name} does not belong to."
        )


def _key(ticket_id: str) -> str:
    """The id for an address; what is not a number was never a ticket of HaloPSA."""
    if not (ticket_id.isascii() and ticket_id.isdigit()):
        raise TicketGone(f"{ticket_id!r} is no ticket number of HaloPSA. Give the number alone.")
    return ticket_id


def _stands(ticket: Record, ticket_id: str, status: int, target: StatusTarget) -> bool:
    if identifier(ticket, "id") != int(ticket_id):
        return False
    closed = target is StatusTarget.CLOSED and flag(ticket, "hasbeenclosed")
    return closed or number(ticket.get("status_id")) == status


def _status_name(ticket: Record, names: Names) -> str:
    status = number(ticket.get("status_id"))
    return names.statuses.get(status, text(ticket, "status_name") or str(status)) if status is not None else "no status"
