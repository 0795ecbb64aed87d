"""The rules that the rows of HaloPSA's approval must pass. Each one that fails says in plain words why this is no yes.

An approval process has steps; every step must be approved before the next, and a rejection ends the process. Sources:
Halo guides 2345 and 2396, the public Halo swagger; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from connector.core.case import Person
from connector.psa.halopsa.process import Process, Step
from connector.psa.halopsa.votes import Said, Vote


@dataclass(frozen=True, kw_only=True)
class ApprovalFacts:
    """Everything that decides.

    Attributes:
        status: Of the ticket, where it is one that nobody of us moved it to; else `None`.
        process_ids: Of the ticket itself; the rows name theirs.
        process: Gives an approval process by its id; `None` when it cannot be read.
        counted_processes: The processes that the mapping names; `None`: it names none, and every one counts.
        hand_picked_count: Whether the yes of an approver counts whom an agent picked by hand: who may approve is
            listed by the configuration, or the mapping allows it.
    """

    ticket_id: int
    votes: tuple[Vote, ...]
    status: int | None
    status_approved: bool
    status_rejected: bool
    failed: bool
    process_ids: frozenset[int]
    process: Callable[[int], Process | None]
    counted_processes: frozenset[int] | None
    allow_override: bool
    allow_automatic: bool
    hand_picked_count: bool

    @property
    def yeses(self) -> tuple[Vote, ...]:
        """Every yes that counts."""
        return tuple(vote for vote in self.votes if vote.said is Said.YES and not self.is_hand_picked(vote))

    @property
    def present_processes(self) -> tuple[Process, ...]:
        """Those that have to be through: the ticket's own, and that of the rows of the present step.

        Where neither names one (whether a ticket keeps its process once that is over or was stopped is UNVERIFIED),
        all that have rows: one that was stopped after its first step must not pass for one that is through.
        """
        present = {vote.process_id for vote in self.votes if vote.current and vote.process_id} | self.process_ids
        if not present:
            present = {vote.process_id for vote in self.votes if vote.process_id}
        found = (self.process(process_id) for process_id in sorted(present))
        return tuple(process for process in found if process is not None)

    @property
    def is_under_way(self) -> bool:
        """Whether the ticket stands in a status that a step sets before the process is through."""
        return self.status is not None and any(
            self.status in (step.awaiting, step.accepted if step is not process.steps[-1] else None)
            for process in self.present_processes
            for step in process.steps
        )

    def is_hand_picked(self, vote: Vote) -> bool:
        """Whether this approver was picked by hand, or may have been, and so does not count.

        Older builds do not tell (`adhoc` is missing from the row); there, nobody counts in a step that allows it.
        """
        if self.hand_picked_count or vote.adhoc is False:
            return False
        return vote.adhoc is True or self._may_pick(vote)

    def _may_pick(self, vote: Vote) -> bool:
        process = self.process(vote.process_id) if vote.process_id else None
        if process is None:
            return not self.allow_automatic  # whoever accepts a process that nobody can read accepts its approvers
        return any(step.adhoc for step in process.steps if is_of(vote, process, step))


def is_of(vote: Vote, process: Process, step: Step) -> bool:
    """Whether a row is of this step of this process: by the step's id, else by its name.

    That `step_id` of a row is the `id` of the process' step is read off the names (UNVERIFIED).
    """
    if vote.process_id not in (None, process.id):
        return False
    if vote.step_id is not None and any(vote.step_id == one.id for one in process.steps):
        return vote.step_id == step.id
    if vote.step:
        return _fold(vote.step) == _fold(step.name)
    return vote.step_id is None and len(process.steps) == 1


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
    picked = [vote.person.name for vote in facts.votes if vote.said is Said.YES]
    if picked:
        return (
            f"{' and '.join(picked)} said yes but may have been picked as approver by hand, which approval.allow_adhoc "
            "does not allow"
        )
    return "no approver's yes is recorded: somebody or something set the status without an approval"


def present_step_has_a_yes(facts: ApprovalFacts) -> str:
    # Without this, the yes of an earlier process of the same ticket would count for one that nobody has answered.
    present = [vote for vote in facts.votes if vote.current]
    if not present or any(vote.current for vote in facts.yeses):
        return ""
    return "nobody has approved the present step"


def every_step_of_the_process_has_its_votes(facts: ApprovalFacts) -> str:
    # The status may have been set by hand, or by a step that is not the last: only the process says which steps there
    # are. Each yes counts once, and not before those of the step before it: otherwise the answers of an approval that
    # was started anew would fill up.
    for process in facts.present_processes:
        since: datetime | None = None
        unused = [vote for vote in facts.yeses if vote.decided_at is not None]
        for step in process.steps:
            if step.switches and facts.allow_automatic:
                continue
            found = [vote for vote in unused if is_of(vote, process, step) and (since is None or _at(vote) >= since)]
            count = how_many(vote.person for vote in found)
            if count < step.least_votes:
                return f"the step {step.title} of the approval process has {count} of {step.least_votes} votes"
            since = max(map(_at, found))
            unused = [vote for vote in unused if vote not in found]
    return ""


def who_must_answer_has_answered(facts: ApprovalFacts) -> str:
    silent = [vote.person.name for vote in facts.votes if vote.mandatory and vote.said is not Said.YES]
    return f"{' and '.join(silent)} must answer and has not" if silent else ""


def each_step_has_the_votes_that_it_wants(facts: ApprovalFacts) -> str:
    # That the number is a count of votes is read off its name (UNVERIFIED); were it anything greater, no approval of
    # such a step would count. In the present step earlier answers do not fill up.
    for vote in facts.votes:
        same = [one for one in facts.yeses if _same_step(one, vote) and (one.current or not vote.current)]
        count = how_many(one.person for one in same)
        if count < vote.votes_wanted:
            return f"{vote.step or 'a step'} has {count} of {vote.votes_wanted} votes that it wants"
    return ""


def every_yes_has_a_time(facts: ApprovalFacts) -> str:
    return "" if all(vote.decided_at for vote in facts.yeses) else "a recorded yes has no time"


def every_yes_has_a_person(facts: ApprovalFacts) -> str:
    # A number of HaloPSA's alone could be anybody's: it cannot be compared with the account to be reset.
    known = all(_can_be_compared(vote.person) for vote in facts.yeses)
    return "" if known else "a recorded yes does not say with which address it was given"


def who_passed_a_decision_on_is_known(facts: ApprovalFacts) -> str:
    unknown = [vote.delegated_by.name for vote in facts.yeses if vote.delegated_by and not _delegator_known(vote)]
    if not unknown:
        return ""
    return (
        f"{' and '.join(unknown)} passed the decision on, and HaloPSA does not tell with which address, so this may be "
        "the requester or the account's owner"
    )


def nobody_was_overridden(facts: ApprovalFacts) -> str:
    overridden = [vote for vote in facts.votes if vote.overridden]
    if overridden and not facts.allow_override:
        return "an agent answered in an approver's place, which approval.allow_override does not allow"
    if any(vote.overridden_by is None for vote in overridden):
        return "an agent answered in an approver's place, and HaloPSA does not tell which one"
    return ""


def only_processes_of_the_mapping_approve(facts: ApprovalFacts) -> str:
    # Whoever may start an approval on a ticket could start one of their own, with a friend for an approver.
    if facts.counted_processes is None:
        return ""
    processes = {vote.process_id for vote in facts.yeses} | facts.process_ids
    if None in processes:
        return "HaloPSA does not say which approval process a recorded yes belongs to"
    strange = sorted(one for one in processes - facts.counted_processes if one is not None)
    return f"the approval process {strange[0]} is not one of approval.processes" if strange else ""


def processes_do_not_approve_by_themselves(facts: ApprovalFacts) -> str:
    if facts.allow_automatic:
        return ""
    if any(vote.process_id is None for vote in facts.yeses) and not facts.process_ids:
        return "HaloPSA does not say which approval process it was, so it may have approved by itself"
    for process_id in sorted(facts.process_ids | {vote.process_id for vote in facts.votes if vote.process_id}):
        process = facts.process(process_id)
        if process is None:
            return f"the approval process {process_id} cannot be read, so it may have approved by itself"
        if process.switches:
            return (
                f"the approval process {process_id} may approve by itself ({', '.join(process.switches)}), "
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
    only_processes_of_the_mapping_approve,
    processes_do_not_approve_by_themselves,
    present_step_has_a_yes,
    every_step_of_the_process_has_its_votes,
    who_must_answer_has_answered,
    each_step_has_the_votes_that_it_wants,
    every_yes_has_a_time,
    every_yes_has_a_person,
    who_passed_a_decision_on_is_known,
    nobody_was_overridden,
)
"""What has to hold besides the status; each says in plain words why this is not a yes, or nothing."""


def is_voted_down(facts: ApprovalFacts) -> bool:
    """Whether a step has as many noes as end it. A single no is enough where HaloPSA asks for no number."""
    noes = [vote for vote in facts.votes if vote.said is Said.NO]
    return any(how_many(one.person for one in noes if _same_step(one, no)) >= no.votes_to_reject for no in noes)


def how_many(people: Iterable[Person]) -> int:
    """How many different people these are for certain: who may be one person counts once."""
    known: list[Person] = []
    for person in people:
        if not any(person.may_be(other) for other in known):
            known.append(person)
    return len(known)


def _same_step(one: Vote, other: Vote) -> bool:
    return (one.process_id, one.step_id, _fold(one.step)) == (other.process_id, other.step_id, _fold(other.step))


def _can_be_compared(person: Person) -> bool:
    return any(identity.startswith(("mail:", "entra:")) for identity in person.identities)


def _delegator_known(vote: Vote) -> bool:
    return vote.delegated_by is not None and _can_be_compared(vote.delegated_by)


def _at(vote: Vote) -> datetime:
    assert vote.decided_at is not None  # noqa: S101 - the caller has sorted those out
    return vote.decided_at


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()
