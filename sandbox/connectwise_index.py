"""Tickets by number, by type, by board and by the time of their last change, so that a poll of a full desk is cheap."""

from __future__ import annotations

from collections.abc import Iterator, ValuesView
from datetime import datetime, timedelta
from itertools import chain

from sandbox.connectwise_records import Ticket


class Index:
    """All tickets that exist. Whatever changes a ticket's date or type does it here."""

    def __init__(self) -> None:
        self._tickets: dict[int, Ticket] = {}
        self._recent: dict[int, Ticket] = {}
        """In order of the last change: a dict keeps the order in which its keys were put in."""
        self._sorted = True
        self._by_type: dict[int | None, dict[int, Ticket]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def get(self, ticket_id: int) -> Ticket | None:
        return self._tickets.get(ticket_id)

    def values(self) -> ValuesView[Ticket]:
        return self._tickets.values()

    def newest_first(self) -> Iterator[Ticket]:
        """By number, the last one raised first."""
        return reversed(self._tickets.values())

    def add(self, ticket: Ticket) -> None:
        newest = next(reversed(self._recent.values()), ticket)
        self._sorted = self._sorted and newest.updated_at <= ticket.updated_at
        self._tickets[ticket.id] = self._recent[ticket.id] = ticket
        self._by_type.setdefault(ticket.type_id, {})[ticket.id] = ticket

    def remove(self, ticket: Ticket) -> None:
        del self._tickets[ticket.id], self._recent[ticket.id], self._by_type[ticket.type_id][ticket.id]

    def retype(self, ticket: Ticket, type_id: int | None) -> None:
        del self._by_type[ticket.type_id][ticket.id]
        ticket.type_id = type_id
        self._by_type.setdefault(type_id, {})[ticket.id] = ticket

    def touch(self, ticket: Ticket, at: datetime) -> None:
        """Set the date of the last change; it may also go back."""
        newest = next(reversed(self._recent.values()), ticket)
        # A clock that went back, or a change that keeps its old date, leaves the order to be restored later.
        self._sorted = self._sorted and newest.updated_at <= at
        ticket.updated_at = at
        if ticket.id in self._recent:
            self._recent[ticket.id] = self._recent.pop(ticket.id)

    def changed_since(self, moment: datetime) -> Iterator[Ticket]:
        """Every ticket whose last change is at `moment` or later, newest first."""
        if not self._sorted:
            ordered = sorted(self._recent.values(), key=lambda ticket: ticket.updated_at)
            self._recent = {ticket.id: ticket for ticket in ordered}
            self._sorted = True
        # Dates are shown in whole seconds, so the comparison is one second generous; the condition itself decides.
        bound = moment - timedelta(seconds=1)
        for ticket in reversed(self._recent.values()):
            if ticket.updated_at < bound:
                return
            yield ticket

    def of_types(self, type_ids: set[int]) -> Iterator[Ticket]:
        return chain.from_iterable(self._by_type.get(type_id, {}).values() for type_id in type_ids)

    def count_of_types(self, type_ids: set[int]) -> int:
        return sum(len(self._by_type.get(type_id, {})) for type_id in type_ids)

    def with_ids(self, ticket_ids: set[int]) -> Iterator[Ticket]:
        return (self._tickets[number] for number in ticket_ids if number in self._tickets)
