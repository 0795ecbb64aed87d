"""What the imitated HaloPSA keeps: records without rules, in our own words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

APPROVED = 1
REJECTED = 2
"""The only two documented results. Source: usehalo.com guide 2345, read 2026-11-22. A pending row has none."""


class Refusal(Exception):
    """HaloPSA refuses a request because of a business rule; the message is HaloPSA's own wording."""


class NotThere(Exception):
    """No such record."""


@dataclass(frozen=True)
class TicketType:
    id: int
    name: str
    fields: tuple[str, ...] = ()
    approval_process: int | None = None


@dataclass(frozen=True)
class Status:
    id: int
    name: str


@dataclass(frozen=True)
class Outcome:
    """`allowed` says whether the API agent may run it."""

    id: int
    name: str
    hidden: bool = False
    allowed: bool = True


@dataclass(frozen=True)
class CustomField:
    """`values` are the choices of a drop-down, counted from 1; a text field has none."""

    id: int
    name: str
    label: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApprovalStep:
    id: int
    name: str
    status_awaiting: int
    status_approved: int
    status_rejected: int


@dataclass(frozen=True)
class ApprovalProcess:
    id: int
    name: str
    steps: tuple[ApprovalStep, ...]


@dataclass(frozen=True)
class Client:
    id: int
    name: str
    site_id: int
    tenant: str | None


@dataclass
class Contact:
    """A customer's user in the PSA. `azure_id` is the directory object id, where it was imported."""

    id: int
    client_id: int
    name: str
    email: str
    azure_id: str | None = None
    inactive: bool = False


@dataclass
class Approval:
    """One approver's vote. `result` is None while it is pending; `current` is false for earlier steps."""

    id: int
    seq: int
    action_number: int
    process_id: int
    step_index: int
    name: str
    email: str
    contact_id: int | None
    requested_at: datetime
    result: int | None = None
    answered_at: datetime | None = None
    comment: str = ""
    current: bool = True
    in_progress: bool = True
    overridden: bool = False
    delegated_by: str | None = None


@dataclass
class Action:
    """An entry in a ticket's history; the id counts within its ticket."""

    id: int
    outcome: Outcome
    who: str
    at: datetime
    note: str = ""
    note_html: str = ""
    hidden: bool = False
    old_status: int = 0
    new_status: int = 0
    application: str | None = None
    system: bool = False
    minutes: float = 0.0
    sendemail: bool = False


@dataclass
class Ticket:
    id: int
    type_id: int
    client_id: int
    contact_id: int
    summary: str
    details: str
    status_id: int
    created_at: datetime
    updated_at: datetime
    custom: dict[str, str] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    process_id: int | None = None
    step_index: int = 0
    closed_at: datetime | None = None
    deleted: bool = False
    merged_into: int | None = None
    agent_id: int | None = None
    team: str = "Service Desk"
    change_sequence: int = 0
