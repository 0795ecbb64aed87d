"""What HaloPSA's approval says about a ticket. Fails closed: whatever is not clearly a yes is not a yes.

The status of the ticket says that the process as a whole is through, the rows say that people did it: both are needed.
What the rows have to say is in `halopsa.rules`.
"""

from __future__ import annotations

from connector.core.case import Approval
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa.rules import RULES, ApprovalFacts, is_voted_down
from connector.psa.halopsa.votes import Said


def judge(facts: ApprovalFacts) -> ApprovalReading:
    """The approval as a whole."""
    waiting = tuple(vote.person for vote in facts.votes if vote.current and vote.said is Said.NOTHING)
    decisions = _decisions(facts)

    def reading(stance: Stance, reason: str = "") -> ApprovalReading:
        return ApprovalReading(stance, decisions=decisions, approvers=waiting, reason=reason)

    if facts.status_rejected:
        return reading(Stance.REJECTED)
    if is_voted_down(facts) and not waiting and not facts.status_approved:
        return reading(Stance.REJECTED)
    if not facts.votes and not facts.status_approved:
        return reading(Stance.NONE)
    if facts.status_approved:
        reason = _first_reason(facts)
        return reading(Stance.PENDING if reason else Stance.APPROVED, reason)
    if waiting:
        return reading(Stance.PENDING)
    if facts.is_under_way:
        return reading(Stance.PENDING)  # between two steps, when the next one has not asked anybody yet
    # Everybody has answered, yet the status does not say so: either it follows in a moment, or somebody (perhaps we)
    # moved the ticket on. The rows have to stand up by themselves all the same.
    return reading(Stance.PENDING, _first_reason(facts))


def _first_reason(facts: ApprovalFacts) -> str:
    return next((reason for rule in RULES if (reason := rule(facts))), "")


def _decisions(facts: ApprovalFacts) -> tuple[Approval, ...]:
    """Every dated answer that counts, oldest first. One without a time is neither before nor after a change."""
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
            digest=vote.digest,
        )
        for vote in facts.votes
        if vote.decided_at is not None and (vote.said is Said.NO or vote in facts.yeses)
    ]
    return tuple(sorted(found, key=lambda decision: (decision.decided_at, decision.evidence)))
