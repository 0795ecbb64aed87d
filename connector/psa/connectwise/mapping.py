"""What a mapping says for ConnectWise PSA, besides what every mapping says."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from connector.config import Section
from connector.psa.mapping import ApprovalRules, Name, PsaMapping, Request, _fold


class ConnectWiseRequest(Request):
    board: Name
    ticket_type: Name

    @property
    def selector(self) -> tuple[str, ...]:
        return (self.board, self.ticket_type)


class ApprovalField(Section):
    """A custom field of the ticket that carries the approval: `{field: "Approval", approved: ["Approved"]}`.

    Attributes:
        approved, rejected: Its values that mean yes and no.
        pending: Its other values. The audit trail's sentence is only understood when both values in it are known.
    """

    field: Name
    approved: Annotated[tuple[Name, ...], Field(min_length=1)]
    rejected: tuple[Name, ...] = ()
    pending: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> ApprovalField:
        folded = [_fold(value) for value in (*self.approved, *self.rejected, *self.pending)]
        twice = sorted({value for value in folded if folded.count(value) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} has two meanings: leave it in one of approved, rejected and pending")
        return self


class TrailRules(Section):
    """How this ConnectWise words its audit trail, where that is not what we know.

    Attributes:
        wordings: Whole sentences with `{old}` and `{new}` once each, in either order, and `{field}` for the name of
            what changed: `{field} moved from {old} to {new}`. Compared letter by letter, capitals, blanks, quotes and
            a full stop at the end not counting; they are no patterns.
    """

    wordings: tuple[str, ...] = ()

    @field_validator("wordings", mode="after")
    @classmethod
    def _whole(cls, wordings: tuple[str, ...]) -> tuple[str, ...]:
        for wording in wordings:
            parts = re.split(r"\{old\}|\{new\}", wording)
            if wording.count("{old}") != 1 or wording.count("{new}") != 1:
                raise ValueError(f"{wording!r}: write {{old}} and {{new}} once each")
            if not re.search(r"[^\W\d_]|[>→]", parts[1]):
                raise ValueError(f"{wording!r}: something must stand between the two that tells old from new")
            if re.search(r"[{}]", "".join(parts).replace("{field}", "", 1)):
                raise ValueError(f"{wording!r}: only {{field}}, {{old}} and {{new}} are known")
        return wordings


class ConnectWiseApprovalRules(ApprovalRules):
    """ConnectWise's own additions. A status or a custom field says yes, the audit trail says whose yes it is.

    Attributes:
        field: The custom field, instead of statuses.
        contact_types: Whose contacts are asked: those of the ticket's company that have one of these types.
        members: Whose yes counts besides, with `approvers: psa`: identifiers of members.
    """

    field: ApprovalField | None = None
    contact_types: tuple[Name, ...] = ()
    members: tuple[Name, ...] = ()
    trail: TrailRules = TrailRules()

    @model_validator(mode="after")
    def _one_carrier(self) -> ConnectWiseApprovalRules:
        if bool(self.approved_statuses) == (self.field is not None):
            raise ValueError("say where the approval stands: either approved_statuses, or field")
        if self.field is not None and self.rejected_statuses:
            raise ValueError("rejected_statuses goes with approved_statuses: write the values under field.rejected")
        if self.approvers.who == "psa" and not (self.contact_types or self.members):
            raise ValueError("approvers: psa needs contact_types or members: ConnectWise itself names no approvers")
        if self.approvers.minimum > 1:
            # A status and a field hold one decision at a time; the one before is history.
            raise ValueError("approvers.minimum: a ConnectWise ticket shows one decision, so more cannot be asked for")
        return self


class ConnectWiseMapping(PsaMapping):
    """`kind: connectwise`."""

    requests: Annotated[tuple[ConnectWiseRequest, ...], Field(min_length=1)]
    approval: ConnectWiseApprovalRules
