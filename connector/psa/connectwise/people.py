"""Who is who in ConnectWise: members (the MSP's own people, and programs) and contacts (the customers' people).

A display name identifies nobody. A member is known by identifier and id, a contact by id within one company: nothing in
ConnectWise makes an address unique across companies, so the company is compared every time. Ids are `cw.member:<id>`
and `cw.contact:<id>`. Source: OpenAPI document 2026.4, schemas `Member`, `Contact`, `ContactCommunicationItem`;
answers may say `communicationItems: null` (amp-labs/connectors); read 2026-11-22.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.core.case import Person, fold
from connector.core.ports import Clock
from connector.psa.connectwise import conditions
from connector.psa.connectwise.answers import NotThere, Refused
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.values import Record, as_record, flag, identifier, inner, records, reference, text

REMEMBERED = timedelta(minutes=5)
MOST_REMEMBERED = 1000

PROGRAM = "a"
"""`licenseClass` of API members, folded. The enumeration A, C, F, X is the vendor's; that A stands for API members is
UNVERIFIED. Should it be another kind of person, that person's yes would not count, and a note would say so."""

ADDRESS_FIELDS = ("officeEmail", "primaryEmail")
"""Of a member, the first that is set."""

NOBODY = frozenset({"", "zadmin", "system"})
"""Names, folded, that stand in `enteredBy` or `updatedBy` and are nobody. Source for `zAdmin`: fixtures of
KerkhoffTechnologies/django-connectwise, read 2026-11-22."""


@dataclass(frozen=True)
class Member:
    """One of the MSP's own people, or a program with keys of its own.

    Attributes:
        person: With the office address only: the other ones are private.
    """

    id: int
    identifier: str
    person: Person
    active: bool
    program: bool


@dataclass(frozen=True)
class Contact:
    """One of a customer's people.

    Attributes:
        person: With the default mail address, or none where no single one is the default.
        every_address: Folded, the default one included.
        types: Ids of contact types, such as that of "Approver".
    """

    id: int
    company: int | None
    person: Person
    every_address: frozenset[str]
    types: frozenset[int]
    active: bool

    @property
    def widest(self) -> Person:
        """With every address: for comparing, where a match is a reason to refuse."""
        addresses = frozenset(f"mail:{address}" for address in self.every_address)
        return Person(self.person.name, self.person.email, self.person.ids | addresses)


class People:
    """Looks people up; members and lists of approvers are remembered for a few minutes. Safe to use from many
    threads."""

    def __init__(self, api: ConnectWiseApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._members: dict[str, tuple[datetime, Member | None]] = {}
        self._shared: dict[int, tuple[datetime, bool]] = {}
        self._approvers: dict[tuple[int, frozenset[int]], tuple[datetime, tuple[Contact, ...]]] = {}

    def member(self, name: str) -> Member | None:
        """The one member with this identifier; `None` when there is none, or the name cannot be asked for."""
        key = name.strip().casefold()
        if key in NOBODY or not conditions.is_harmless(name.strip()):
            return None
        now = self._clock()
        with self._lock:
            known = self._members.get(key)
        if known and known[0] > now:
            return known[1]
        rows = records(
            self._api.get("system/members", {"conditions": conditions.is_text("identifier", name.strip())}).body
        )
        same = [row for row in rows if text(row, "identifier").strip().casefold() == key]
        found = read_member(same[0]) if len(same) == 1 else None
        with self._lock:
            if len(self._members) >= MOST_REMEMBERED:
                self._members.clear()
            self._members[key] = (now + REMEMBERED, found)
        return found

    def shares_address(self, member: Member) -> bool:
        """Whether another active member has the mail address of this one.

        Members may edit their own address where the role lets them, and approvers are listed by address: one who took
        an approver's must not pass for them.
        """
        address = member.person.email
        if not address:
            return False
        now = self._clock()
        with self._lock:
            known = self._shared.get(member.id)
        if known and known[0] > now:
            return known[1]
        rows: list[Record] = []
        for field in ADDRESS_FIELDS if conditions.is_harmless(address) else ():
            rows += self._api.everything("system/members", {"conditions": conditions.is_text(field, address)})
        if not conditions.is_harmless(address):
            rows = self._api.everything("system/members")
        others = [one for row in rows if (one := read_member(row)) is not None and one.id != member.id and one.active]
        shared = any(fold(one.person.email or "") == fold(address) for one in others)
        with self._lock:
            if len(self._shared) >= MOST_REMEMBERED:
                self._shared.clear()
            self._shared[member.id] = (now + REMEMBERED, shared)
        return shared

    def contact(self, contact_id: int) -> Contact | None:
        """A contact as it is now, never a remembered one: its address is where the link goes."""
        try:
            return read_contact(as_record(self._api.get(f"company/contacts/{contact_id}").body) or {})
        except NotThere:
            return None

    def contact_by_address(self, address: str, company: int) -> Contact | None:
        """The one active contact of this company with this mail address, as it is now.

        Nobody where another one has its default address, by which approvers are listed.
        """
        same = self._with_address(address, company)
        default = same[0].person.email if len(same) == 1 else None
        if default and fold(default) != fold(address) and len(self._with_address(default, company)) != 1:
            return None
        return same[0] if len(same) == 1 else None

    def _with_address(self, address: str, company: int) -> list[Contact]:
        """An address with signs that a condition must not hold, such as an apostrophe, is looked for in the whole
        list."""
        of_company = {"conditions": conditions.is_one_of("company/id", {company})}
        if conditions.is_harmless(address):
            of_company["childConditions"] = conditions.all_of(
                conditions.is_text("communicationItems/value", address),
                conditions.is_text("communicationItems/communicationType", "Email"),
            )
        rows = self._api.everything("company/contacts", of_company)
        found = [contact for row in rows if (contact := read_contact(row)) is not None]
        return [one for one in found if one.company == company and one.active and fold(address) in one.every_address]

    def approvers(self, company: int, types: frozenset[int]) -> tuple[Contact, ...]:
        """The active contacts of this company that have one of these types."""
        if not types:
            return ()
        now, key = self._clock(), (company, types)
        with self._lock:
            known = self._approvers.get(key)
        if known and known[0] > now:
            return known[1]
        found = [contact for row in self._contacts(company, types) if (contact := read_contact(row)) is not None]
        ours = tuple(one for one in found if one.company == company and one.active and one.types & types)
        with self._lock:
            if len(self._approvers) >= MOST_REMEMBERED:
                self._approvers.clear()
            self._approvers[key] = (now + REMEMBERED, ours)
        return ours

    def _contacts(self, company: int, types: Collection[int]) -> list[Record]:
        of_company = {"conditions": conditions.is_one_of("company/id", {company})}
        try:
            wanted = {**of_company, "childConditions": conditions.is_one_of("types/id", types)}
            return self._api.everything("company/contacts", wanted)
        except Refused:
            # Whether the list can be asked for types is UNVERIFIED; without that, all contacts of the company come.
            return self._api.everything("company/contacts", of_company)


def read_member(row: Record) -> Member | None:
    """A row of `system/members`."""
    id_ = identifier(row)
    if id_ is None:
        return None
    name = f"{text(row, 'firstName')} {text(row, 'lastName')}".strip() or text(row, "identifier")
    email = next((said for field in ADDRESS_FIELDS if (said := text(row, field).strip())), "")
    return Member(
        id=id_,
        identifier=text(row, "identifier").strip(),
        person=Person(name, email or None, frozenset({f"cw.member:{id_}"})),
        active=not flag(row, "inactiveFlag"),
        program=text(row, "licenseClass").strip().casefold() == PROGRAM,
    )


def read_contact(row: Record) -> Contact | None:
    """A row of `company/contacts`."""
    id_ = identifier(row)
    if id_ is None:
        return None
    items = [item for item in records(row.get("communicationItems")) if _is_email(item)]
    addresses = [text(item, "value").strip() for item in items if text(item, "value").strip()]
    default = [text(item, "value").strip() for item in items if flag(item, "defaultFlag")]
    # With several addresses and no default nobody knows where a mail should go.
    email = default[0] if len(default) == 1 else addresses[0] if len(addresses) == 1 and not default else None
    name = f"{text(row, 'firstName')} {text(row, 'lastName')}".strip()
    types = {reference_id for one in records(row.get("types")) if (reference_id := identifier(one)) is not None}
    return Contact(
        id=id_,
        company=reference(row, "company"),
        person=Person(name or email or f"contact {id_}", email or None, frozenset({f"cw.contact:{id_}"})),
        every_address=frozenset(fold(address) for address in addresses),
        types=frozenset(types),
        active=not flag(row, "inactiveFlag"),
    )


def _is_email(item: Record) -> bool:
    kind = text(item, "communicationType") or text(inner(item, "type"), "name")
    return kind.strip().casefold() == "email"
