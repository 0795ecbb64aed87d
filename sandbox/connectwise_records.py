"""What the imitated ConnectWise PSA keeps: records without rules, in our own words.

`connectwise_json.py` spells them the vendor's way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sandbox.desk_records import NotThere, Refusal


class Rejected(Refusal):
    """ConnectWise refuses a request; the answer is its error envelope.

    Args:
        errors: The inner rows `{code, message, resource, field}`; a simple error has none.
    """

    def __init__(self, status: int, code: str, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.errors = status, code, message, errors or []


def invalid(resource: str, field_name: str, message: str, code: str = "InvalidField") -> Rejected:
    """A 400 `InvalidObject` about one field of a body."""
    row = {"code": code, "message": message, "resource": resource, "field": field_name}
    return Rejected(400, "InvalidObject", f"{resource} object is invalid", [row])


class NoRecord(NotThere):
    """No such record; `what` is the vendor's name of the record type, as its 404 says it."""

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"{what} {key}")


@dataclass(frozen=True)
class Actor:
    """Who makes a change.

    `kind` is `member`, `contact` (in the customer portal), `workflow` (a rule) or `email` (the e-mail connector).
    `identifier` is what `_info.updatedBy` and the audit trail say; `name` is the person's own name.
    """

    kind: str
    identifier: str
    name: str
    member_id: int | None = None
    contact_id: int | None = None


WORKFLOW = Actor("workflow", "zAdmin", "Workflow rule")
EMAIL_CONNECTOR = Actor("email", "EmailConnector", "Email Connector")
"""What stands in the trail for those two is UNVERIFIED; `zAdmin` was seen in `updatedBy` (django-connectwise)."""


@dataclass(frozen=True)
class Named:
    """Anything that is an id and a name: a source, a team, a contact type."""

    id: int
    name: str


@dataclass(frozen=True)
class Priority:
    """`sort` orders priorities, the most urgent first."""

    id: int
    name: str
    level: str
    sort: int


@dataclass(frozen=True)
class BoardStatus:
    id: int
    name: str
    board_id: int
    sort: int
    closed: bool = False
    default: bool = False


@dataclass(frozen=True)
class BoardType:
    id: int
    name: str
    board_id: int


@dataclass(frozen=True)
class SubType:
    id: int
    name: str
    board_id: int
    type_ids: tuple[int, ...]


@dataclass(frozen=True)
class Team:
    id: int
    name: str
    board_id: int


@dataclass(frozen=True)
class Board:
    id: int
    name: str
    inactive: bool = False


@dataclass(frozen=True)
class CustomField:
    """A user-defined field of tickets; a list has `options`."""

    id: int
    caption: str
    options: tuple[str, ...] = ()


@dataclass
class Company:
    """`tenant` is the key of its directory, where it has one."""

    id: int
    identifier: str
    name: str
    tenant: str | None
    deleted: bool = False


@dataclass
class Contact:
    """A customer's person. Without an address its communication items are null, as has been seen in real answers.

    `email` is the default one; `other_emails` may be somebody else's, too.
    """

    id: int
    company_id: int
    name: str
    email: str | None
    types: list[int] = field(default_factory=list)
    manager_id: int | None = None
    phone: str | None = None
    inactive: bool = False
    other_emails: tuple[str, ...] = ()


@dataclass
class Member:
    """Somebody who works in the PSA. `licence` F is a full one, A an API member."""

    id: int
    identifier: str
    name: str
    email: str | None
    licence: str = "F"
    inactive: bool = False


@dataclass
class Note:
    id: int
    text: str
    at: datetime
    created_by: str
    discussion: bool = False
    internal: bool = False
    resolution: bool = False
    issue: bool = False
    member_id: int | None = None
    contact_id: int | None = None
    process_notifications: bool = True
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass
class AuditEntry:
    """A change as it happened; `connectwise_audit.py` puts it into words when somebody reads it."""

    what: str
    old: str
    new: str
    at: datetime
    actor: Actor


@dataclass
class TimeEntry:
    id: int
    ticket_id: int
    member_id: int
    start: datetime
    end: datetime
    hours: float
    notes: str
    at: datetime
    entered_by: str
    discussion: bool = False
    internal: bool = False
    resolution: bool = False
    billable: str = "Billable"


@dataclass
class Callback:
    """A registration; `key_id` names its signing key at our own host."""

    id: int
    url: str
    object_id: int
    type: str
    level: str
    description: str
    inactive: bool
    self_suppressed: bool
    created_by: str
    at: datetime
    key_id: str
    signing_key: str = field(repr=False)


@dataclass(slots=True)
class Ticket:
    """One service ticket. Where the PSA could not match the sender, `contact_id` is None and only the text is there."""

    id: int
    summary: str
    board_id: int
    status_id: int
    company_id: int
    created_at: datetime
    updated_at: datetime
    entered_by: str
    updated_by: str
    type_id: int | None = None
    subtype_id: int | None = None
    team_id: int | None = None
    contact_id: int | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    owner_id: int | None = None
    priority_id: int = 8
    source_id: int = 2
    severity: str = "Medium"
    impact: str = "Medium"
    closed_at: datetime | None = None
    closed_by: str | None = None
    merged_into: int | None = None
    has_merged_child: bool = False
    record_type: str = "ServiceTicket"
    custom: dict[int, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
