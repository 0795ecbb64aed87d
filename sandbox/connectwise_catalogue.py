"""What is configured in the imitated ConnectWise, and who is known there; found by name, number or address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sandbox.connectwise_records import (
    Board,
    BoardStatus,
    BoardType,
    Company,
    Contact,
    CustomField,
    Member,
    Named,
    NoRecord,
    Priority,
    SubType,
    Team,
)


@dataclass
class Catalogue:
    """Everything but tickets and what belongs to them, by id."""

    boards: dict[int, Board] = field(default_factory=dict)
    statuses: dict[int, BoardStatus] = field(default_factory=dict)
    types: dict[int, BoardType] = field(default_factory=dict)
    subtypes: dict[int, SubType] = field(default_factory=dict)
    teams: dict[int, Team] = field(default_factory=dict)
    priorities: dict[int, Priority] = field(default_factory=dict)
    sources: dict[int, Named] = field(default_factory=dict)
    contact_types: dict[int, Named] = field(default_factory=dict)
    fields: dict[int, CustomField] = field(default_factory=dict)
    companies: dict[int, Company] = field(default_factory=dict)
    contacts: dict[int, Contact] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)

    def board_named(self, name: str | int) -> Board:
        return _named(self.boards.values(), name)

    def status_named(self, board_id: int, name: str | int) -> BoardStatus:
        return _named((one for one in self.statuses.values() if one.board_id == board_id), name)

    def type_named(self, board_id: int, name: str | int) -> BoardType:
        return _named((one for one in self.types.values() if one.board_id == board_id), name)

    def team_named(self, board_id: int, name: str | int) -> Team:
        return _named((one for one in self.teams.values() if one.board_id == board_id), name)

    def company_named(self, name: str | int) -> Company:
        for company in self.companies.values():
            if str(name).lower() in (str(company.id), company.identifier.lower(), company.name.lower()):
                return company
        raise NoRecord("Company", name)

    def contact_with(self, email: str) -> Contact | None:
        return next((one for one in self.contacts.values() if (one.email or "").lower() == email.lower()), None)

    def member_with(self, name: str) -> Member | None:
        """By identifier or address."""
        wanted = name.lower()
        return next(
            (one for one in self.members.values() if wanted in (one.identifier.lower(), (one.email or "").lower())),
            None,
        )

    def default_status(self, board_id: int) -> BoardStatus:
        mine = [one for one in self.statuses.values() if one.board_id == board_id]
        return next((one for one in mine if one.default), mine[0])

    def approvers_of(self, company_id: int) -> list[Contact]:
        """The contacts of a company that have the type Approver."""
        approver = {one.id for one in self.contact_types.values() if one.name == "Approver"}
        return [one for one in self.contacts.values() if one.company_id == company_id and approver & set(one.types)]


class _Named(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


_Record = TypeVar("_Record", bound=_Named)


def _named(records: Iterable[_Record], name_or_id: str | int) -> _Record:
    known = list(records)
    for record in known:
        if str(name_or_id).lower() in (record.name.lower(), str(record.id)):
            return record
    raise NoRecord("record named", f"{name_or_id!r}; there is: {', '.join(record.name for record in known)}")
