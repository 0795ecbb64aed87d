"""What the imitated HaloPSA keeps: records without rules, in our own words."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

APPROVED = 1
REJECTED = 2
"""The only two documented results. Source: usehalo.com guide 2345, read 2026-11-22. A pending row has none."""


KINDS = {"text": 0, "memo": 1, "choice": 2, "choices": 3, "date": 4, "checkbox": 6, "user": 2}
"""HaloPSA's `type` of each kind of custom field.

2 (choice) and 4 (date) were seen in real answers; the others, and that a look-up of users is a drop-down, are guesses.
"""

AUTOMATIC = (
    "autoapproveforagentlogging",
    "autoapproveforapprovalrequestor",
    "autoapproveifnoapprovers",
    "autoapproveifalreadyapp",
    "auto_approval_to_manager",
)
"""Switches of a step by which it approves without anybody's answer. Source: swagger ApprovalProcessStep."""


class Refusal(Exception):
    """HaloPSA refuses a request because of a business rule; the message is HaloPSA's own wording."""


class NotThere(Exception):
    """No such record."""


@dataclass(frozen=True)
class StatusRule:
    """What a ticket rule of the customer's does with a move to `status_id` that comes through the API.

    `does` is `refuse` (400), `undo` (answered as done and set back right after) or `ignore` (answered 201 without
    effect). `message` is what a refusal says.
    """

    status_id: int
    does: str
    message: str = ""


@dataclass(frozen=True)
class TicketType:
    """`closure_fields` are names of custom fields without which a ticket of this type cannot be closed.

    `reopened_status` is where a closed ticket goes that its user answers; None: it is not configured.
    """

    id: int
    name: str
    fields: tuple[str, ...] = ()
    approval_process: int | None = None
    workflow: int | None = None
    closure_fields: tuple[str, ...] = ()
    status_rules: tuple[StatusRule, ...] = ()
    reopened_status: int | None = None


@dataclass(frozen=True)
class WorkflowStep:
    """`outcomes` may be run in this step; a ticket comes into it by getting one of `statuses`."""

    id: int
    name: str
    outcomes: tuple[int, ...] = ()
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Workflow:
    """`always` are the outcomes that are allowed in every step."""

    id: int
    name: str
    steps: tuple[WorkflowStep, ...]
    always: tuple[int, ...] = ()


@dataclass(frozen=True)
class Team:
    id: int
    name: str
    inactive: bool = False


@dataclass(frozen=True)
class Agent:
    """One of the MSP's own people, or an application's account (`api_only`)."""

    id: int
    name: str
    email: str
    teams: tuple[str, ...] = ()
    inactive: bool = False
    api_only: bool = False


@dataclass(frozen=True)
class Status:
    id: int
    name: str


@dataclass(frozen=True)
class Agreement:
    """A service level agreement (SLA). Each has priorities of its own, which it counts by itself.

    `priority` is what its tickets begin with.
    """

    id: int
    name: str
    priority: int


@dataclass(frozen=True)
class Priority:
    """`number` is what a ticket holds, and is unique within its agreement only."""

    agreement: int
    number: int
    name: str
    hidden: bool = False


@dataclass(frozen=True)
class Outcome:
    """`allowed` says whether the API agent may run it."""

    id: int
    name: str
    hidden: bool = False
    allowed: bool = True


@dataclass(frozen=True)
class CustomField:
    """`values` are the choices of a drop-down, counted from 1; `kind` is one of `KINDS`."""

    id: int
    name: str
    label: str
    values: tuple[str, ...] = ()
    kind: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("", *KINDS):
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")

    @property
    def sort(self) -> str:
        """The kind; a field with choices is a drop-down and any other a text unless it says something else."""
        return self.kind or ("choice" if self.values else "text")


@dataclass(frozen=True)
class Member:
    """Somebody who is asked; `mandatory` members of a CAB must all say yes."""

    email: str
    mandatory: bool = False


@dataclass(frozen=True)
class Cab:
    """A change advisory board: a group that votes."""

    id: int
    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class ApprovalStep:
    """Who is asked, and what becomes of the ticket.

    Without `approvers` and `cab` the client's approvers are asked. `votes_to_accept` 0: everybody must say yes.
    `status_none` is for a step that has nobody to ask; None leaves it waiting. `automatic` holds some of `AUTOMATIC`.
    """

    id: int
    name: str
    status_awaiting: int
    status_approved: int
    status_rejected: int
    status_none: int | None = None
    approvers: tuple[str, ...] | None = None
    cab: Cab | None = None
    votes_to_accept: int = 0
    votes_to_reject: int = 0
    automatic: frozenset[str] = frozenset()
    adhoc: bool = False
    reminder_hours: int = 24

    def __post_init__(self) -> None:
        if unknown := self.automatic - set(AUTOMATIC):
            raise ValueError(f"automatic holds {', '.join(AUTOMATIC)}, not {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class ApprovalProcess:
    """`refused` is the status with which a look at its steps is refused: 401, 403 or 404; 0: it can be read."""

    id: int
    name: str
    steps: tuple[ApprovalStep, ...]
    refused: int = 0


@dataclass(frozen=True)
class Client:
    id: int
    name: str
    site_id: int
    tenant: str | None
    agreement: int = 1


@dataclass
class Contact:
    """A customer's user in the PSA. `azure_id` is the directory object id, where it was imported.

    `login` is the mail address where nothing else is said; `agent_id` names the agent who is the same person.
    """

    id: int
    client_id: int
    name: str
    email: str
    azure_id: str | None = None
    inactive: bool = False
    login: str | None = None
    agent_id: int | None = None


@dataclass
class Approval:
    """One approver's vote. `result` is None while it is pending; `current` is false for earlier steps.

    `token` opens the vote to whoever has it, as the one in HaloPSA's approval mails would.
    """

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
    agent_id: int | None = None
    cab_id: int | None = None
    mandatory: bool = False
    votes_to_accept: int = 0
    votes_to_reject: int = 0
    override_agent: int | None = None
    delegated_by_id: int | None = None
    adhoc: bool = False
    automatic: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


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
    hours: float = 0.0
    sendemail: bool = False


@dataclass(slots=True)
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
    workflow_step: int = 0
    logged_by: int | None = None
    open_appointment: bool = False
    set_back_to: int | None = None
    agreement: int = 1
    priority: int = 4
    was_closed: bool = False
