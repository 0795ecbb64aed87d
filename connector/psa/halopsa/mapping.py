"""What a mapping says for HaloPSA, besides what every mapping says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from connector.psa.mapping import ApprovalRules, FieldSource, Name, PsaMapping, Request


class HaloSubject(FieldSource):
    """`{field: CFSubject}`, or `{field: CFUser, lookup: user}` where the field's value is a user of HaloPSA."""

    lookup: Literal["user"] | None = None


class HaloRequest(Request):
    ticket_type: Name
    subject: HaloSubject

    @property
    def selector(self) -> tuple[str, ...]:
        return (self.ticket_type,)


class HaloApprovalRules(ApprovalRules):
    """HaloPSA's own additions.

    Attributes:
        approved_statuses: At least one: without it no ticket could ever be approved.
        allow_override: A decision that an agent made in an approver's place counts.
        allow_auto_approval: An approval process may have steps that approve by themselves.
        allow_adhoc: With `approvers: psa`, approvers count whom an agent picked by hand for this one ticket.
        processes: The approval processes that count; none named: any, also one that an agent starts on a ticket.
    """

    approved_statuses: Annotated[tuple[Name, ...], Field(min_length=1)]
    allow_override: bool = False
    allow_auto_approval: bool = False
    allow_adhoc: bool = False
    processes: tuple[Name, ...] = ()


class HaloMapping(PsaMapping):
    """`kind: halopsa`. `note_outcome` is the action outcome with which notes are written."""

    requests: Annotated[tuple[HaloRequest, ...], Field(min_length=1)]
    approval: HaloApprovalRules
    note_outcome: Name
