"""What Deskbook's rows mean in our words, and what counts as a yes. No call is made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from connector.core.case import Approval, Person
from connector.core.evidence import digest_of
from connector.core.ports import ApprovalReading, Stance
from connector.errors import TemporaryError
from connector.psa.mapping import ActionSource, ApprovalRules, FieldSource, Name, PsaMapping, Request


class DeskbookRequest(Request):
    kind: Name

    @property
    def selector(self) -> tuple[str, ...]:
        return (self.kind,)


class DeskbookMapping(PsaMapping):
    requests: Annotated[tuple[DeskbookRequest, ...], Field(min_length=1)]
    approval: ApprovalRules = ApprovalRules()

    @model_validator(mode="after")
    def _only_what_deskbook_has(self) -> Self:
        if any(rules.team or rules.owner for rules in (self.hand_off, self.alarm)):
            raise ValueError("hand_off, alarm: tickets of Deskbook have neither team nor owner. Leave them out")
        if self.approval.approved_statuses or self.approval.rejected_statuses:
            raise ValueError("approval: Deskbook's own votes decide, not statuses. Leave the two lists out")
        return self


def read_approval(vote: Any) -> ApprovalReading:
    """The vote as a whole: any no is a no, and a yes is one of everybody who was asked, each with their own hands.

    Deskbook keeps withdrawn votes, marked; and votes of people who are not asked any more. Neither counts, and of each
    person only the newest, whatever it says.
    """
    asked = {str(one["id"]): read_person(one) for one in vote["asked"]}
    newest = {str(one["by"]["id"]): one for one in sorted(vote["votes"], key=lambda one: int(one["id"]))}
    standing = [one for who, one in newest.items() if who in asked and one["withdrawn"] is False]
    rows = [one for one in standing if isinstance(one["yes"], bool)]
    decisions = tuple(sorted(map(_decision, rows), key=lambda one: one.decided_at))
    answered = {str(one["by"]["id"]) for one in rows}
    waiting = tuple(person for who, person in asked.items() if who not in answered)
    if any(not one.approved for one in decisions):
        return ApprovalReading(Stance.REJECTED, decisions)
    if any(one.overridden for one in decisions):
        return ApprovalReading(Stance.PENDING, decisions, waiting, "somebody voted in an approver's place")
    if not decisions or waiting:
        return ApprovalReading(Stance.PENDING if asked else Stance.NONE, decisions, waiting)
    return ApprovalReading(Stance.APPROVED, decisions)


def _decision(row: Any) -> Approval:
    # Named fields alone, as text: a new field of Deskbook's must not change the digest of an old decision.
    source = {key: str(row[key]) for key in ("id", "yes", "at", "words")}
    source |= {"by": str(row["by"]["id"]), "entered_by": str(row["entered_by"]["id"])}
    return Approval(
        approver=read_person(row["by"]),
        approved=row["yes"] is True,
        decided_at=read_moment(row["at"]),
        comment=str(row["words"]),
        overridden=row["entered_by"]["id"] != row["by"]["id"],
        evidence=f"vote {row['id']}",
        digest=digest_of([source]),
    )


def read_person(row: Any) -> Person:
    return Person(str(row["name"]), str(row["email"] or "") or None, frozenset({f"deskbook.user:{row['id']}"}))


def watched_by(request: DeskbookRequest) -> set[str]:
    """The fields whose change makes an earlier approval void."""
    said = (request.subject.field, request.action.field or "kind")
    return {"kind", "customer", "raised_by", *(field.casefold() for field in said)}


def value_of(fields: Mapping[str, str], source: FieldSource | ActionSource | None) -> str:
    return fields.get(source.field.casefold(), "") if source and source.field else ""


def read_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone could mean any of 24 moments")
    return moment


def time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


@contextmanager
def understanding(what: str) -> Iterator[None]:
    """Whatever has another shape than Deskbook 1 gives it is an error, never a guess."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TemporaryError(
            f"Deskbook sent {what} in a form that is not known here. It is tried again; if it lasts, the version of "
            "Deskbook may not be supported."
        ) from None
