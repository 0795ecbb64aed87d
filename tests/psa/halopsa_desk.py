"""People at the sandbox's HaloPSA, for the contract and for the tests of what only HaloPSA does."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from connector.core.case import Action
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.halopsa.mapping import HaloMapping
from sandbox.desk import Desk
from sandbox.desk_records import Ticket
from sandbox.faults import Fault
from sandbox.server import Addresses
from sandbox.world import World
from tests.contracts.psa import SeenNote
from tests.psa.halopsa_make import MovableClock, changed_mapping, make_psa

TYPES = {Action.PASSWORD: "Password Reset", Action.MFA: "MFA Reset", Action.BOTH: "Account Reset"}


@dataclass
class HaloDesk:
    """See `tests.contracts.psa.Desk`. Tickets are changed between the adapter's calls, never during one."""

    world: World
    addresses: Addresses
    clock: MovableClock
    requester: str = "ben@contoso.com"
    approver: str = "anna@contoso.com"
    urgent: str = "Critical"
    open_status: str | None = None
    psa: HaloPsa = field(init=False)

    def __post_init__(self) -> None:
        self.psa = self.again()

    @property
    def desk(self) -> Desk:
        return self.world.desk

    def again(self, *, mapping: HaloMapping | None = None) -> HaloPsa:
        known = self.world.credentials
        return make_psa(
            self.addresses.halo,
            client_id=known.halo_client_id,
            client_secret=known.halo_client_secret,
            clock=self.clock,
            mapping=mapping,
        )

    def raw(self, ticket_id: str) -> Ticket:
        return self.desk.tickets[int(ticket_id)]

    def add_ticket(
        self,
        *,
        subject: str = "dana@contoso.com",
        action: Action = Action.PASSWORD,
        reason: str = "",
        custom: Mapping[str, str] | None = None,
        process: str | None = None,
        approvers: list[str] | None = None,
    ) -> str:
        requester = self.desk.contact_with(self.requester)
        assert requester is not None
        fields = {"CFSubject": subject} if subject else {}
        if action is Action.BOTH:
            fields["CFResetWhat"] = "Both"
        ticket = self.desk.raise_ticket(
            type_id=self.desk.type_named(TYPES[action]).id,
            client_id=requester.client_id,
            contact_id=requester.id,
            summary="Please reset",
            details=reason,
            custom={**fields, **(custom or {})},
            process_id=self.desk.process_named(process).id if process else None,
            approvers=approvers,
        )
        return str(ticket.id)

    def add_tickets(self, count: int) -> set[str]:
        return {self.add_ticket() for _ in range(count)}

    def add_other_ticket(self) -> str:
        ticket_id = self.add_ticket()
        self.retype(ticket_id)
        return ticket_id

    def approve(self, ticket_id: str, *, comment: str = "") -> None:
        self.desk.vote(self.raw(ticket_id), approve=True, comment=comment)

    def reject(self, ticket_id: str, *, comment: str = "") -> None:
        self.desk.vote(self.raw(ticket_id), approve=False, comment=comment)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self.raw(ticket_id).custom["CFSubject"] = text
        self.desk.touch(self.raw(ticket_id))

    def retype(self, ticket_id: str) -> None:
        self.raw(ticket_id).type_id = self.desk.type_named("Incident").id
        self.desk.touch(self.raw(ticket_id))

    def set_status(self, ticket_id: str, name: str) -> None:
        self.desk.set_status(self.raw(ticket_id), self.desk.status_named(name).id)

    def close(self, ticket_id: str) -> None:
        self.set_status(ticket_id, "Closed")

    def ask_retry(self, ticket_id: str) -> None:
        self.set_status(ticket_id, "Retry reset")

    def delete(self, ticket_id: str) -> None:
        self.raw(ticket_id).deleted = True

    def write_as_person(self, ticket_id: str, text: str) -> None:
        note = html.escape(text)
        self.desk.add_action(self.raw(ticket_id), self.desk.outcomes[7], who="Hugo", note=note, note_html=note)

    def notes(self, ticket_id: str) -> list[SeenNote]:
        return [
            SeenNote(html.unescape(re.sub(r"<[^<>]*>", "\n", action.note_html)), public=not action.hidden)
            for action in self.raw(ticket_id).actions
            if action.application
        ]

    def status(self, ticket_id: str) -> str:
        return self.desk.statuses[self.raw(ticket_id).status_id].name

    def closed_status(self) -> str:
        return "Closed"

    def hand_off_status(self) -> str:
        return "Needs technician"

    def alarm_status(self) -> str:
        return "Security alarm"

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> HaloPsa:
        statuses = {"closed": "Closed", "retry": "Retry reset", "alarm": self.alarm_status() if status else None}
        statuses["hand_off"] = self.hand_off_status() if hand_off else None
        rules = {"priority": self.urgent} if urgent else None
        return self.again(mapping=changed_mapping(statuses=statuses, alarm=rules))

    def priority(self, ticket_id: str) -> str:
        priority = self.desk.priority(self.raw(ticket_id))
        return priority.name if priority else ""

    def changes(self, ticket_id: str) -> int:
        return self.raw(ticket_id).change_sequence

    def forbid_reopening(self) -> None:
        self.desk.habits = replace(self.desk.habits, reopening="refuse")

    def tick(self) -> None:
        self.clock.forward(seconds=1)

    def fault(self, kind: str, match: str = "", **more: object) -> None:
        self.world.faults.add(Fault("halo", kind, match=match, **more))  # type: ignore[arg-type]

    def go_down(self) -> None:
        self.fault("status", status=503, times=1000)

    def come_up(self) -> None:
        self.world.faults.clear()

    def refuse(self) -> None:
        """The secret was changed in HaloPSA, and the tokens of the old one are dead."""
        self.world.credentials = replace(self.world.credentials, halo_client_secret=secrets.token_urlsafe(24))
        self.world.halo_tokens.clear()

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        self.fault("cut_after", "(?i)POST /api/" + {"note": "actions", "move": "tickets"}[to])
