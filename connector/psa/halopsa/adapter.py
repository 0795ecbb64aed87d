"""The adapter to HaloPSA (and HaloITSM and HaloServiceDesk, which share its API).

Set-up and the mapping: docs/psa/halopsa.md. Sources of vendor facts: the public Halo swagger, Halo guides 2345 and
2396, real answers in uktrade/help-desk-service, CIPP-API, homotechsual/HaloAPI; read 2026-11-22. HaloPSA has neither
row versions nor idempotency keys: a ticket is read again right before anything depends on it, a note is found again by
its marker, a status change is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal, Self

from connector.adapter import Surroundings
from connector.config import Budget, BudgetSection, SecretValue, Section, Url, validate
from connector.core.ports import ChangedTicket, Changes, Clock, Finding, Note, Push, Rules, StatusTarget, Ticket
from connector.errors import AuthenticationError, ConfigError, PermanentError, TicketGone
from connector.psa.halopsa import changes as halopsa_changes
from connector.psa.halopsa import push as halopsa_push
from connector.psa.halopsa.api import HaloApi, NotThere, OutcomeForbidden, tenant_of
from connector.psa.halopsa.check import HaloCheck
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.halopsa.moves import Move
from connector.psa.halopsa.names import Catalogue, Names
from connector.psa.halopsa.push import PushSection
from connector.psa.halopsa.reading import TicketReader, key_of
from connector.psa.halopsa.ticket import action_of, is_ours
from connector.psa.halopsa.values import Record, records
from connector.psa.mapping import read_mapping

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
        push: How webhooks prove themselves; without it they only make us poll.
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
    push: PushSection | None = None
    budget: BudgetSection = BudgetSection()


class HaloPsa:
    """One HaloPSA. Implements `connector.core.ports.Psa`; safe to use from several threads."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        api: HaloApi,
        mapping: HaloMapping,
        where: str,
        clock: Clock,
        push: PushSection | None = None,
    ) -> None:
        self._name = name
        self._api = api
        self._mapping = mapping
        self._where = where
        self._push = push
        self._catalogue = Catalogue(api, mapping, where)
        self._reader = TicketReader(name=name, url=url, api=api, rules=mapping.approval, clock=clock)

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
                mapping = read_mapping(HaloMapping, file, surroundings.place, key=f"psa.{name}.mapping")
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
            push=checked.push,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> Rules:
        return self._mapping.rules

    def check(self) -> Iterable[Finding]:
        """See `Psa.check`.

        Not in the background: a daemon checks when it starts, and these dozen calls would use up what the budget keeps
        for polls, so that a burst of approvals right after a start would leave none for a whole window.
        """
        return HaloCheck(self._api, self._mapping, f"psa.{self._name}", self._where).findings()

    # -- reading

    def changed(self, cursor: str | None) -> Changes:
        """See `Psa.changed`; one call when nothing is new.

        A name of the mapping that does not exist (which `check` tells at the start, unless HaloPSA was away then)
        raises `AuthenticationError`, too: it pauses this PSA until the mapping is right, and loses nothing.
        """
        with self._list_trouble():
            return halopsa_changes.changed(self._api.in_background(), set(self._names().requests), cursor)

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:
        """See `Psa.raised_since`; as many calls as there are pages of a hundred."""
        with self._list_trouble():
            return halopsa_changes.raised_since(self._api.in_background(), set(self._names().requests), since)

    def heard(self, push: Push) -> Sequence[str]:
        """See `Psa.heard`. Without `psa.<name>.push` nothing of a push is read: it means "poll"."""
        return halopsa_push.heard(self._push, push, where=f"psa.{self._name}")

    def read(self, ticket_id: str) -> Ticket:
        """See `Psa.read`; one call for an ordinary ticket, see `halopsa.reading` for what costs more.

        HaloPSA keeps no history that we could read, so `request_changed_at` is always `None`.
        """
        return self._reader.ticket(ticket_id, self._names())

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """See `Psa.has_note`. Only actions written by an API application count: people can copy a marker."""
        wanted = {
            "ticket_id": key_of(ticket_id),
            "count": MOST_ACTIONS,
            "excludesys": "true",
            "includehtmlnote": "true",
        }
        try:
            reply = self._api.get("Actions", wanted)
        except NotThere:
            raise self._reader.gone(ticket_id) from None
        return any(is_ours(action, marker) for action in records(reply.body, "actions"))

    # -- writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        """See `Psa.add_note`. Sent as an action with the mapped outcome, without a mail from HaloPSA."""
        action = action_of(note, int(key_of(ticket_id)), self._outcome())
        try:
            self._write("Actions", action, ticket_id)
        except OutcomeForbidden as failure:
            raise PermanentError(
                f"{failure} Ticket {ticket_id}, outcome {self._mapping.note_outcome!r}: allow it to the connector's "
                "agent in every step of the ticket type's workflow, or name another one under note_outcome."
            ) from None

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """See `Psa.move`; a hand-off also sets the mapped team and owner, an alarm these and the priority.

        The answer is read, and the ticket itself where the answer does not show what was wanted. For an alarm the
        ticket is read before, so that what is already so is not sent again, and always after: a rule may close it anew.
        """
        names = self._names()
        if target is StatusTarget.ALARM:
            return self._alarm(ticket_id, names)
        wanted = Move.to(target, names)
        if wanted is None:
            return False
        answer = self._write("Tickets", wanted.record(int(key_of(ticket_id))), ticket_id)
        if missing := wanted.missing(answer, int(ticket_id)):
            missing = wanted.missing(self._reader.detail(ticket_id, names), int(ticket_id))
        if missing:
            raise PermanentError(
                f"HaloPSA took the change of ticket {ticket_id}, but {missing}. Look for a workflow or rule that moves "
                "it, and for mandatory fields or open child tickets; then set it by hand."
            )
        return True

    def _alarm(self, ticket_id: str, names: Names) -> bool:
        before = self._reader.detail(ticket_id, names)
        wanted = Move.alarm(names, before)
        if wanted is None:
            return False
        if not wanted.missing(before, int(ticket_id)):
            return True
        try:
            self._write("Tickets", wanted.record(int(key_of(ticket_id))), ticket_id)
        except TicketGone:
            raise
        except (PermanentError, AuthenticationError) as failure:
            # Where it is only this write that is refused, as a closed ticket may be, everything else goes on.
            self._reader.detail(ticket_id, names)
            raise PermanentError(f"{failure} {self._by_hand(ticket_id, wanted)}") from None
        if missing := wanted.missing(self._reader.detail(ticket_id, names), int(ticket_id)):
            raise PermanentError(
                f"HaloPSA took the change of ticket {ticket_id}, but {missing}. Look for a workflow or rule that moves "
                f"it back. {self._by_hand(ticket_id, wanted)}"
            )
        return True

    def _by_hand(self, ticket_id: str, wanted: Move) -> str:
        """What an agent has to do where an alarm could not bring the ticket back; whether API agents need a right of
        their own to reopen tickets is UNVERIFIED."""
        status = f", set it to {wanted.status_name!r}" if wanted.status_name else ""
        priority = f", priority {self._mapping.alarm.priority!r}" if self._mapping.alarm.priority else ""
        return (
            f"Somebody said that a reset was not theirs: open ticket {ticket_id} again in HaloPSA now{status}{priority}"
            ", and see whether the connector's agent may reopen closed tickets."
        )

    # -- inside

    def _names(self) -> Names:
        with self._mapping_trouble():
            return self._catalogue.names()

    def _outcome(self) -> int:
        with self._mapping_trouble():
            return self._catalogue.outcome()

    @contextmanager
    def _list_trouble(self) -> Iterator[None]:
        """A list that is refused or not there is no matter of one ticket: address or rights are wrong."""
        try:
            yield
        except PermanentError as failure:
            raise AuthenticationError(str(failure), scope=f"psa.{self._name}") from None

    @contextmanager
    def _mapping_trouble(self) -> Iterator[None]:
        try:
            yield
        except (ConfigError, PermanentError) as failure:
            raise AuthenticationError(str(failure), scope=f"psa.{self._name}") from None

    def _write(self, path: str, record: Mapping[str, object], ticket_id: str) -> Record:
        try:
            return self._api.post(path, record)
        except NotThere:
            raise self._reader.gone(ticket_id) from None
        except PermanentError:
            # What is refused for a ticket that is gone is no refusal: raises TicketGone.
            self._reader.detail(ticket_id, self._names())
            raise
