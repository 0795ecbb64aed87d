"""What HaloPSA's approval says about a ticket. Fails closed: whatever is not clearly a yes is not a yes.

An approval process has steps; every step must be approved before the next, and a rejection ends the process. Sources:
Halo guides 2345 and 2396, the public Halo swagger; read 2026-11-22.

The status of the ticket says that the process as a whole is through, the rows say that people did it: both are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connector.core.case import Approval
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa_json import Record, flag, records, text
from connector.psa.halopsa_votes import Said, Vote

AUTOMATIC = (
    "autoapproveifnoapprovers",
    "autoapproveforagentlogging",
    "autoapproveforapprovalrequestor",
    "autoapproveifalreadyapp",
    "auto_approval_to_manager",
)
"""Switches of a step by which it approves without anybody's answer. None is described by the vendor, so all count."""


@dataclass(frozen=True, kw_only=True)
class ApprovalFacts:
    """Everything that decides.

    Attributes:
        process_ids: Of the ticket itself; the rows name theirs.
        automatic: Gives, for a process, how it may approve by itself; empty: not at all; `None`: not known.
    """

    ticket_id: int
    votes: tuple[Vote, ...]
    status_approved: bool
    status_rejected: bool
    failed: bool
    process_ids: frozenset[int]
    automatic: Callable[[int], tuple[str, ...] | None]
    allow_override: bool
    allow_automatic: bool

    @property
    def yeses(self) -> tuple[Vote, ...]:
        return tuple(vote for vote in self.votes if vote.said is Said.YES)


# ---------------------------------------------------------------- the rules


def approval_did_not_fail(facts: ApprovalFacts) -> str:
    return "HaloPSA marks the approval as failed" if facts.failed else ""


def rows_are_of_this_ticket(facts: ApprovalFacts) -> str:
    foreign = any(vote.ticket_id not in (None, facts.ticket_id) for vote in facts.votes)
    return "an approval row belongs to another ticket" if foreign else ""


def nobody_said_no(facts: ApprovalFacts) -> str:
    noes = [vote.person.name for vote in facts.votes if vote.said is Said.NO]
    return f"{' and '.join(noes)} rejected it" if noes else ""


def every_answer_is_known(facts: ApprovalFacts) -> str:
    unclear = any(vote.said is Said.UNCLEAR for vote in facts.votes)
    return "an approver's answer has a code that is not documented" if unclear else ""


def nothing_is_in_progress(facts: ApprovalFacts) -> str:
    return "the approval is still in progress" if any(vote.in_progress for vote in facts.votes) else ""


def somebody_said_yes(facts: ApprovalFacts) -> str:
    if facts.yeses:
        return ""
    return "no approver's yes is recorded: somebody or something set the status without an approval"


def present_step_has_a_yes(facts: ApprovalFacts) -> str:
    # Without this, the yes of an earlier process of the same ticket would count for one that nobody has answered.
    present = [vote for vote in facts.votes if vote.current]
    if not present or any(vote.said is Said.YES for vote in present):
        return ""
    return "nobody has approved the present step"


def who_must_answer_has_answered(facts: ApprovalFacts) -> str:
    silent = [vote.person.name for vote in facts.votes if vote.mandatory and vote.said is not Said.YES]
    return f"{' and '.join(silent)} must answer and has not" if silent else ""


def each_step_has_the_votes_that_it_wants(facts: ApprovalFacts) -> str:
    # The status may have been set by hand while votes were missing. That the number is a count of votes is read off
    # its name (UNVERIFIED); were it anything greater, no approval of such a step would count.
    for vote in facts.votes:
        same = [one for one in facts.yeses if (one.process_id, one.step) == (vote.process_id, vote.step)]
        if len(same) < vote.votes_wanted:
            return f"{vote.step or 'a step'} has {len(same)} of {vote.votes_wanted} votes that it wants"
    return ""


def every_yes_has_a_time(facts: ApprovalFacts) -> str:
    return "" if all(vote.decided_at for vote in facts.yeses) else "a recorded yes has no time"


def every_yes_has_a_person(facts: ApprovalFacts) -> str:
    known = all(vote.person.identities for vote in facts.yeses)
    return "" if known else "a recorded yes does not say whose it is"


def nobody_was_overridden(facts: ApprovalFacts) -> str:
    if facts.allow_override or not any(vote.overridden for vote in facts.votes):
        return ""
    return "an agent answered in an approver's place, which approval.allow_override does not allow"


def processes_do_not_approve_by_themselves(facts: ApprovalFacts) -> str:
    if facts.allow_automatic:
        return ""
    if any(vote.process_id is None for vote in facts.yeses) and not facts.process_ids:
        return "HaloPSA does not say which approval process it was, so it may have approved by itself"
    for process_id in sorted(facts.process_ids | {vote.process_id for vote in facts.votes if vote.process_id}):
        switches = facts.automatic(process_id)
        if switches is None:
            return f"the approval process {process_id} cannot be read, so it may have approved by itself"
        if switches:
            return (
                f"the approval process {process_id} may approve by itself ({', '.join(switches)}), "
                "which approval.allow_auto_approval does not allow"
            )
    return ""


RULES: tuple[Callable[[ApprovalFacts], str], ...] = (
    approval_did_not_fail,
    rows_are_of_this_ticket,
    nobody_said_no,
    every_answer_is_known,
    nothing_is_in_progress,
    somebody_said_yes,
    present_step_has_a_yes,
    who_must_answer_has_answered,
    each_step_has_the_votes_that_it_wants,
    every_yes_has_a_time,
    every_yes_has_a_person,
    nobody_was_overridden,
    processes_do_not_approve_by_themselves,
)
"""What has to hold besides the status; each says in plain words why this is not a yes, or nothing."""


def judge(facts: ApprovalFacts) -> ApprovalReading:
    """The approval as a whole."""
    waiting = tuple(vote.person for vote in facts.votes if vote.current and vote.said is Said.NOTHING)
    decisions = _decisions(facts)

    def reading(stance: Stance, reason: str = "") -> ApprovalReading:
        return ApprovalReading(stance, decisions=decisions, approvers=waiting, reason=reason)

    if facts.status_rejected:
        return reading(Stance.REJECTED)
    rejected = any(vote.said is Said.NO for vote in facts.votes)
    if rejected and not waiting and not facts.status_approved:
        return reading(Stance.REJECTED)
    if not facts.votes and not facts.status_approved:
        return reading(Stance.NONE)
    if facts.status_approved:
        reason = _first_reason(facts)
        return reading(Stance.PENDING if reason else Stance.APPROVED, reason)
    if waiting:
        return reading(Stance.PENDING)
    # Everybody has answered, yet the status does not say so: either it follows in a moment, or somebody (perhaps we)
    # moved the ticket on. The rows have to stand up by themselves all the same.
    return reading(Stance.PENDING, _first_reason(facts))


def _first_reason(facts: ApprovalFacts) -> str:
    return next((reason for rule in RULES if (reason := rule(facts))), "")


def _decisions(facts: ApprovalFacts) -> tuple[Approval, ...]:
    """Every dated answer, oldest first. An answer without a time cannot be placed before or after a change."""
    found = [
        Approval(
            approver=vote.person,
            approved=vote.said is Said.YES,
            decided_at=vote.decided_at,
            comment=vote.comment,
            step=vote.step,
            overridden=vote.overridden,
            delegated_by=vote.delegated_by,
            evidence=f"TicketApproval {vote.key}",
        )
        for vote in facts.votes
        if vote.decided_at is not None and vote.said in (Said.YES, Said.NO)
    ]
    return tuple(sorted(found, key=lambda decision: (decision.decided_at, decision.evidence)))


# ---------------------------------------------------------------- processes


def automatic_switches(process: Record) -> tuple[str, ...] | None:
    """How an approval process may approve by itself; `None` when its steps cannot be seen."""
    steps = records(process.get("steps"))
    if not steps:
        return None
    return tuple(
        f"{switch} in step {text(step, 'name') or text(step, 'id')}"
        for step in steps
        for switch in AUTOMATIC
        if flag(step, switch)
    )
