"""People at the sandbox's ConnectWise, for the contract and for the tests of what only ConnectWise does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from connector.core.case import Action
from connector.psa.connectwise.adapter import CallbackSection, ConnectWise
from connector.psa.connectwise.mapping import ConnectWiseMapping
from sandbox.connectwise_desk import ConnectWiseDesk, contact_actor, member_actor
from sandbox.connectwise_records import EMAIL_CONNECTOR, WORKFLOW, Actor, Contact, Ticket
from sandbox.faults import Fault
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contracts.psa import SeenNote
from tests.psa.connectwise_make import MEMBER, changed_mapping, make_api, make_psa
from tests.psa.halopsa_make import MovableClock

TYPES = {Action.PASSWORD: "Password Reset", Action.MFA: "MFA Reset", Action.BOTH: "Account Reset"}
ACCOUNT, WHAT, APPROVAL = 41, 42, 43
BOARD = 1

House = tuple[World, Addresses, MovableClock]


@contextmanager
def house() -> Iterator[House]:
    """A sandbox whose clock stands; `open_desk` empties it."""
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


def open_desk(house: House, *, mapping: ConnectWiseMapping | None = None) -> CwDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return CwDesk(world, addresses, clock, mapping)


@dataclass
class CwDesk:
    """See `tests.contracts.psa.Desk`. Tickets are changed between the adapter's calls, never during one."""

    world: World
    addresses: Addresses
    clock: MovableClock
    mapping: ConnectWiseMapping | None = None
    requester: str = "ben@contoso.com"
    approver: str = "anna@contoso.com"
    urgent: str = "Priority 1 - Emergency Response"
    open_status: str | None = "New"
    psa: ConnectWise = field(init=False)

    def __post_init__(self) -> None:
        self.psa = self.again()

    @property
    def parts(self) -> House:
        return self.world, self.addresses, self.clock

    @property
    def desk(self) -> ConnectWiseDesk:
        return self.world.connectwise

    def again(
        self,
        *,
        mapping: ConnectWiseMapping | None = None,
        member: str | None = MEMBER,
        callback: CallbackSection | None = None,
        site_url: str | None = None,
    ) -> ConnectWise:
        known = self.world.credentials
        api = make_api(
            self.addresses.connectwise,
            company=known.connectwise_company,
            public_key=known.connectwise_public_key,
            private_key=known.connectwise_private_key,
            client_id=known.connectwise_client_id,
        )
        return make_psa(
            api,
            clock=self.clock,
            mapping=mapping or self.mapping,
            member=member,
            callback=callback,
            site_url=site_url,
        )

    # -- people

    def contact(self, address: str) -> Contact:
        found = self.desk.contact_with(address)
        assert found is not None, address
        return found

    def actor(self, name: str) -> Actor:
        """A member by identifier, a contact by address, `workflow`, `email`."""
        if name in ("workflow", "email"):
            return WORKFLOW if name == "workflow" else EMAIL_CONNECTOR
        member = None if "@" in name else self.desk.member_with(name)
        return member_actor(member) if member else contact_actor(self.contact(name))

    # -- tickets

    def raw(self, ticket_id: str) -> Ticket:
        return self.desk.ticket(int(ticket_id))

    def add_ticket(
        self,
        *,
        subject: str = "dana@contoso.com",
        action: Action = Action.PASSWORD,
        reason: str = "",
        status: str = "Waiting Approval",
        requester: str | None = None,
    ) -> str:
        contact = self.contact(requester or self.requester)
        custom = {ACCOUNT: subject} if subject else {}
        ticket = self.desk.raise_ticket(
            actor=contact_actor(contact),
            board_id=BOARD,
            company_id=contact.company_id,
            type_id=self.desk.type_named(BOARD, TYPES[action]).id,
            status_id=self.desk.status_named(BOARD, status).id,
            contact=contact,
            summary="Please reset",
            details=reason,
            custom={**custom, **({WHAT: "Both"} if action is Action.BOTH else {})},
        )
        return str(ticket.id)

    def add_tickets(self, count: int) -> set[str]:
        return {self.add_ticket() for _ in range(count)}

    def add_other_ticket(self) -> str:
        ticket_id = self.add_ticket()
        self.retype(ticket_id)
        return ticket_id

    def set_status(self, ticket_id: str, name: str, *, by: str = "TinaT") -> None:
        ticket, actor = self.raw(ticket_id), self.actor(by)
        self.desk.set_status(ticket, self.desk.status_named(ticket.board_id, name).id, actor)
        self.desk.touch(ticket, actor)

    def set_field(self, ticket_id: str, field_id: int, value: str | None, *, by: str = "TinaT") -> None:
        ticket, actor = self.raw(ticket_id), self.actor(by)
        self.desk.set_custom(ticket, field_id, value, actor)
        self.desk.touch(ticket, actor)

    def decide(self, ticket_id: str, status: str, comment: str, by: str | None = None) -> None:
        who = by or self.approver
        if comment:
            self.desk.add_note(self.raw(ticket_id), self.actor(who), comment, discussion=True)
        self.set_status(ticket_id, status, by=who)

    def approve(self, ticket_id: str, *, comment: str = "", by: str | None = None) -> None:
        self.decide(ticket_id, "Approved", comment, by)

    def reject(self, ticket_id: str, *, comment: str = "", by: str | None = None) -> None:
        self.decide(ticket_id, "Denied", comment, by)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self.set_field(ticket_id, ACCOUNT, text)

    def retype(self, ticket_id: str) -> None:
        ticket, actor = self.raw(ticket_id), self.actor("TinaT")
        self.desk.set_type(ticket, self.desk.type_named(ticket.board_id, "Incident").id, actor)
        self.desk.touch(ticket, actor)

    def close(self, ticket_id: str) -> None:
        self.set_status(ticket_id, "Closed")

    def ask_retry(self, ticket_id: str) -> None:
        self.set_status(ticket_id, "Retry reset")

    def delete(self, ticket_id: str) -> None:
        self.desk.delete(self.raw(ticket_id), self.actor("TinaT"))

    def write_as_person(self, ticket_id: str, text: str) -> None:
        self.desk.add_note(self.raw(ticket_id), self.actor("TinaT"), text, internal=True)

    def notes(self, ticket_id: str) -> list[SeenNote]:
        return [
            SeenNote(note.text, public=note.discussion)
            for note in self.raw(ticket_id).notes
            if note.created_by == MEMBER
        ]

    def status(self, ticket_id: str) -> str:
        return self.desk.statuses[self.raw(ticket_id).status_id].name

    def closed_status(self) -> str:
        return "Closed"

    def hand_off_status(self) -> str:
        return "Needs technician"

    def alarm_status(self) -> str:
        return "Security alarm"

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> ConnectWise:
        statuses = {"closed": "Closed", "retry": "Retry reset", "alarm": self.alarm_status() if status else None}
        statuses["hand_off"] = self.hand_off_status() if hand_off else None
        rules = {"priority": self.urgent} if urgent else None
        return self.again(mapping=changed_mapping(statuses=statuses, alarm=rules))

    def priority(self, ticket_id: str) -> str:
        return self.desk.priorities[self.raw(ticket_id).priority_id].name

    def changes(self, ticket_id: str) -> int:
        """By people and by us: what people do is in the trail, and our calls are counted."""
        ours = [one for one in self.world.record.exchanges if one.method == "PATCH" and one.path.endswith(ticket_id)]
        return len(ours) + len(self.raw(ticket_id).audit)

    def forbid_reopening(self) -> None:
        self.desk.habits.reopening = "refuse"

    # -- the system

    def tick(self) -> None:
        self.clock.forward(seconds=1)

    def fault(self, kind: str, match: str = "", **more: object) -> None:
        self.world.faults.add(Fault("connectwise", kind, match=match, **more))  # type: ignore[arg-type]

    def go_down(self) -> None:
        self.fault("status", status=503, times=1000)

    def come_up(self) -> None:
        self.world.faults.clear()

    def refuse(self) -> None:
        """The API member's keys were made anew."""
        known = self.world.credentials
        self.world.credentials = replace(known, connectwise_private_key=secrets.token_urlsafe(24))

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        self.fault("cut_after", {"note": "(?i)POST .*/notes", "move": "(?i)PATCH .*/service/tickets/"}[to])

    def calls(self) -> list[str]:
        """Calls since the last look, without the names that are looked up once."""
        made = [f"{one.method} {one.path.partition('/apis/3.0')[2]}" for one in self.world.record.exchanges]
        self.world.record.exchanges.clear()
        once = ("/boards", "/statuses", "/types", "/teams", "/members")
        return [call for call in made if not call.endswith(once) and call != "GET "]
