"""The adapter to ConnectWise PSA (formerly Manage).

Set-up and the mapping: docs/psa/connectwise.md. Sources of vendor facts: the vendor's OpenAPI document 2026.4 and
developer guide, real answers in rapid7/insightconnect-plugins and amp-labs/connectors; read 2026-11-22. ConnectWise has
neither row versions nor idempotency keys, and answers some writes with 200 that did nothing: a ticket is read again
right before anything depends on it, a note is found again by its marker, and every write is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from connector.adapter import Surroundings
from connector.config import Budget, BudgetSection, SecretValue, Section, Url, validate
from connector.core.ports import ChangedTicket, Changes, Clock, Finding, Note, Push, Rules, StatusTarget, Ticket
from connector.errors import AuthenticationError, ConfigError, PermanentError, TicketGone
from connector.psa.connectwise import poll as connectwise_poll
from connector.psa.connectwise.answers import NotThere
from connector.psa.connectwise.api import VERSION, ConnectWiseApi, is_login_company
from connector.psa.connectwise.check import ConnectWiseCheck
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.connectwise.names import Catalogue, Names
from connector.psa.connectwise.people import People
from connector.psa.connectwise.push import Callbacks
from connector.psa.connectwise.read import Reader, fetch_ticket
from connector.psa.connectwise.ticket import author_name, gone, mark
from connector.psa.connectwise.values import Record, records, text
from connector.psa.connectwise.write import Writer
from connector.psa.mapping import read_mapping

PUBLISHED_LIMIT = Budget(calls=1000, per=timedelta(minutes=1))
"""Of the vendor, for all tools together. Source: developer guide, read 2026-11-22."""

HOSTED = (".myconnectwise.net", ".connectwisedev.com")


class CallbackSection(Section):
    """`psa.<name>.callback`.

    Attributes:
        signed: Whether a message has to bear ConnectWise's signature. Without it, anybody who knows our address can
        make
            us look at a ticket; nothing more.
        key_url: Where signing keys are fetched, without a query. Default: what the message says, if that is on `url` or
            `site_url` and has the known path. Elsewhere our own keys are not sent along.
    """

    signed: bool = True
    key_url: Url | None = None


class ConnectWiseSection(Section):
    """`psa.<name>` with `kind: connectwise`.

    Attributes:
        url: The API host: `https://api-eu.myconnectwise.net`, or one's own server.
        company: The login company, as typed on the sign-in page.
        public_key, private_key: Of the API member.
        client_id: Of the integration, from developer.connectwise.com.
        member: Identifier of the API member, by which it knows its own notes. Default: any API member's count.
        site_url: Where agents open ConnectWise; default: `url` without the leading `api-`.
        version: Of the model, sent as `Accept`.
        budget: Of 1,000 calls a minute.
    """

    kind: Literal["connectwise"] = "connectwise"
    url: Url
    company: str
    public_key: str
    private_key: SecretValue
    client_id: str
    mapping: str
    member: str | None = None
    site_url: Url | None = None
    version: str = Field(default=VERSION, pattern=r"^20[0-9]{2}\.[0-9]{1,2}$")
    callback: CallbackSection = CallbackSection()
    budget: BudgetSection = BudgetSection()

    @field_validator("company", mode="after")
    @classmethod
    def _plain(cls, company: str) -> str:
        if not is_login_company(company):
            raise ValueError("write the login company as on the sign-in page: letters, digits, dots, dashes")
        return company


class ConnectWise:
    """One ConnectWise PSA. Implements `connector.core.ports.Psa`; safe to use from several threads."""

    def __init__(
        self,
        *,
        name: str,
        api: ConnectWiseApi,
        mapping: ConnectWiseMapping,
        where: str,
        clock: Clock,
        site_url: str | None = None,
        member: str | None = None,
        callback: CallbackSection | None = None,
    ) -> None:
        callback = callback or CallbackSection()
        self._name = name
        self._api = api
        self._mapping = mapping
        self._where = where
        self._clock = clock
        self._site = site_url or site_of(api.url)
        self._member = member
        self._catalogue = Catalogue(api, mapping, where)
        self._people = People(api, clock)
        self._reader = Reader(api=api, mapping=mapping, people=self._people, ours=self._is_ours, clock=clock)
        self._writer = Writer(api, clock)
        self._callbacks = Callbacks(
            api, sites=(api.url, self._site), key_url=callback.key_url, signed=callback.signed, clock=clock
        )

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build from `psa.<name>`. Reads the mapping; talks to nobody.

        Raises:
            ConfigError: Every problem of the section and of the mapping.
        """
        problems: list[str] = []
        scope = f"psa.{name}"
        try:
            checked = validate(ConnectWiseSection, section, surroundings.place, where=scope)
            budget = checked.budget.share_of(PUBLISHED_LIMIT, where=scope)
        except ConfigError as failure:
            problems.extend(failure.problems)
        file = section.get("mapping")
        if isinstance(file, str):
            try:
                mapping = read_mapping(ConnectWiseMapping, file, surroundings.place, key=f"{scope}.mapping")
            except ConfigError as failure:
                problems.extend(failure.problems)
        if problems:
            raise ConfigError(problems)
        api = ConnectWiseApi(
            http=surroundings.http_for(system="ConnectWise", scope=scope, budget=budget),
            scope=scope,
            url=checked.url.rstrip("/"),
            company=checked.company,
            public_key=checked.public_key,
            private_key=checked.private_key,
            client_id=checked.client_id,
            version=checked.version,
        )
        return cls(
            name=name,
            api=api,
            mapping=mapping,
            where=f"{checked.mapping}: ",
            clock=surroundings.clock,
            site_url=checked.site_url,
            member=checked.member,
            callback=checked.callback,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> Rules:
        return self._mapping.rules

    def check(self) -> Iterable[Finding]:
        """See `Psa.check`."""
        return ConnectWiseCheck(
            self._api, self._mapping, self._callbacks, self._clock, member=self._member, where=self._where
        ).findings()

    # -- reading

    def changed(self, cursor: str | None) -> Changes:
        """See `Psa.changed`; one call when nothing is new.

        A name of the mapping that does not exist (which `check` tells at the start, unless ConnectWise was away then)
        raises `AuthenticationError`, too: it pauses this PSA until the mapping is right, and loses nothing.
        """
        with self._whole_system_trouble():
            return connectwise_poll.changed(self._api, self._catalogue.names(), cursor, self._clock())

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:
        """See `Psa.raised_since`."""
        with self._whole_system_trouble():
            return connectwise_poll.raised_since(self._api, self._catalogue.names(), since.astimezone(UTC))

    def read(self, ticket_id: str) -> Ticket:
        """See `Psa.read`. One call for the ticket and one for its contact; one for the audit trail where the status or
        the field says that somebody decided; one for the notes where the mapping or a decision needs them.
        """
        key = _key(ticket_id)
        names = self._names()
        return self._reader.read(self._name, key, names, url=self._address(key))

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """See `Psa.has_note`. Only notes of our own API member count: people can copy a marker."""
        key, wanted = _key(ticket_id), mark(marker)
        try:
            for reply in self._api.pages(f"service/tickets/{key}/notes"):
                if any(wanted in text(note, "text") and self._wrote(note) for note in records(reply.body)):
                    return True
        except NotThere:
            raise gone(key) from None
        return False

    # -- writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        """See `Psa.add_note`. Goes to the Internal tab, a public one to the Discussion tab; nobody is notified.

        Time is booked before the note is written and looked for before it is booked, so a repeat books none twice.
        """
        self._writer.add_note(_key(ticket_id), note)

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """See `Psa.move`: two calls, the ticket for its board and present status, and the change, whose answer is
        read. An alarm is one call more: the ticket is read once again, since a rule may close it anew."""
        key = _key(ticket_id)
        names = self._names()
        if target is StatusTarget.ALARM:
            return self._writer.alarm(fetch_ticket(self._api, key), key, names, self._mapping.alarm.priority or "")
        if not any(target in board.targets for board in names.boards.values()):
            return False
        return self._writer.move(fetch_ticket(self._api, key), key, target, names)

    # -- pushes

    def heard(self, push: Push) -> Sequence[str]:
        """See `Psa.heard`."""
        return self._callbacks.heard(push)

    def register_callback(self, url: str) -> str:
        """Have ConnectWise call `url` (without a query) whenever a ticket changes; what was done, in a sentence.

        One that is there already is left as it is.

        Raises:
            ConfigError: The address cannot be called, or the mapping names boards that do not exist.
            PermanentError, AuthenticationError, TemporaryError: ConnectWise does not take it.
        """
        return self._callbacks.register(url, sorted(self._catalogue.names().boards))

    def callbacks(self) -> list[str]:
        """Our own callbacks, one sentence each."""
        return self._callbacks.described()

    # -- inside

    def _names(self) -> Names:
        with self._whole_system_trouble():
            return self._catalogue.names()

    @contextmanager
    def _whole_system_trouble(self) -> Iterator[None]:
        """What is refused here concerns no single ticket: address, rights or mapping are wrong."""
        try:
            yield
        except (ConfigError, PermanentError) as failure:
            raise AuthenticationError(f"{failure} Then run: connector check", scope=f"psa.{self._name}") from None

    def _is_ours(self, name: str) -> bool:
        """Whether a name in the trail or on a note is that of our own API member."""
        if self._member is not None:
            return name.strip().casefold() == self._member.strip().casefold()
        found = self._people.member(name)
        return found is not None and found.program

    def _wrote(self, note: Record) -> bool:
        name = author_name(note)
        return bool(name) and self._is_ours(name)

    def _address(self, key: str) -> str:
        """Where agents open a ticket. Source: the links that several public integrations build; read 2026-11-22."""
        path = "services/system_io/Service/fv_sr100_request.rails"
        return f"{self._site}/v4_6_release/{path}?service_recid={key}&companyName={self._api.company}"


def site_of(url: str) -> str:
    """Where agents sign in, for an API host: the cloud's API hosts are the site's with `api-` in front."""
    parts = urlsplit(url)
    hosted = (parts.hostname or "").endswith(HOSTED)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api-') if hosted else parts.netloc}"


def _key(ticket_id: str) -> str:
    """The id for an address; what is not a number was never a ticket of ConnectWise."""
    if not (ticket_id.isascii() and ticket_id.isdigit() and len(ticket_id) <= 18 and int(ticket_id) > 0):
        raise TicketGone(f"{ticket_id[:40]!r} is no ticket number of ConnectWise. Give the number alone.")
    return ticket_id
