"""What `connector check` says about approval processes, ticket types and workflows of HaloPSA: pure, no calls.

Facts about the properties: the public Halo swagger, CIPP-API's reading of workflows; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connector.core.ports import Finding, Level
from connector.psa.halopsa.mapping import HaloApprovalRules
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.process import Process, Step
from connector.psa.halopsa.values import Record, identifier, number, records, text
from connector.psa.mapping import Named


def process_findings(process: Process, names: Names, rules: HaloApprovalRules, *, about: str) -> Iterator[Finding]:
    """Whether the process can give a yes that counts, and whether its statuses are mapped as what they are.

    A process that may approve by itself stops the start: an approver would be bypassed. What only keeps approvals
    from counting is mended in HaloPSA and read anew there, so it does not keep the other types from starting.
    """
    found = [
        *_automatic(process, rules, about),
        *_after_the_last_yes(process, names, about),
        *_approved_too_early(process, names, about),
        *_rejections(process, names, about),
        *_hand_picked(process, rules, about),
    ]
    yield from found
    if not any(finding.level is Level.ERROR for finding in found):
        steps = ", ".join(step.title for step in process.steps)
        yield Finding(Level.OK, about, f"{process.title} wants a person's yes in each of its steps: {steps}.")


def _automatic(process: Process, rules: HaloApprovalRules, about: str) -> Iterator[Finding]:
    if not process.switches:
        return
    said = f"{process.title} may approve by itself: {', '.join(process.switches)}."
    if rules.allow_auto_approval:
        yield Finding(Level.WARNING, about, f"{said} The mapping accepts that (approval.allow_auto_approval).")
        return
    yield Finding(
        Level.ERROR,
        about,
        f"{said} None of its approvals will count.",
        "Switch that off in HaloPSA, or set approval.allow_auto_approval: true in the mapping.",
    )


def _after_the_last_yes(process: Process, names: Names, about: str) -> Iterator[Finding]:
    after = process.accepted
    if after is not None and after not in names.approved:
        yield Finding(
            Level.ERROR,
            about,
            f"{process.title} sets the status {_status(after, names)} after the last yes, which is not one of the "
            "approved statuses: no ticket would ever count as approved.",
            "Add that status to approval.approved_statuses.",
            temporary=True,
        )


def _approved_too_early(process: Process, names: Names, about: str) -> Iterator[Finding]:
    """Statuses that are mapped as approved and are set before, or without, the last yes."""
    for step in process.steps[:-1]:
        if step.accepted in names.approved and step.accepted == process.accepted:
            yield Finding(
                Level.WARNING,
                about,
                f"{process.title} sets {_status(step.accepted, names)} after the step {step.title} as well as after "
                "the last one. Nothing is reset before every step has its yes, but agents cannot tell the two apart.",
                f"Give the step {step.title} a status of its own.",
            )
        elif step.accepted in names.approved:
            yield _wrongly_approved(
                process, step, step.accepted, "after its yes, though others follow it", names, about
            )
    for step in process.steps:
        if step.awaiting in names.approved | names.rejected:
            yield _wrongly_approved(process, step, step.awaiting, "while it waits for an answer", names, about)
        if step.rejected in names.approved:
            yield _wrongly_approved(process, step, step.rejected, "after a no", names, about)
        if step.none_needed in names.approved:
            yield Finding(
                Level.WARNING,
                about,
                f"{process.title} sets {_status(step.none_needed, names)} where the step {step.title} asks nobody, and "
                "the mapping takes that for approved. Such a ticket waits: without a person's yes nothing is reset.",
                "Set another status there, so that agents see that nobody has approved.",
            )


def _wrongly_approved(process: Process, step: Step, status: int | None, when: str, names: Names, about: str) -> Finding:
    meaning = "approved" if status in names.approved else "rejected"
    return Finding(
        Level.ERROR,
        about,
        f"{process.title} sets {_status(status, names)} in the step {step.title} {when}, and the mapping takes that "
        f"status for {meaning}.",
        f"Take it out of approval.{meaning}_statuses, or give the step another status in HaloPSA.",
    )


def _rejections(process: Process, names: Names, about: str) -> Iterator[Finding]:
    unmapped = {
        step.title: _status(step.rejected, names)
        for step in process.steps
        if step.rejected is not None and step.rejected not in names.rejected | names.approved
    }
    if unmapped:
        said = ", ".join(f"{status} (step {step})" for step, status in unmapped.items())
        yield Finding(
            Level.WARNING,
            about,
            f"{process.title} sets after a no: {said}. That is not one of the rejected statuses, so a rejection is "
            "seen by the votes alone.",
            "Add it to approval.rejected_statuses.",
        )


def _hand_picked(process: Process, rules: HaloApprovalRules, about: str) -> Iterator[Finding]:
    steps = [step.title for step in process.steps if step.adhoc]
    if steps and rules.approvers.who == "psa" and not rules.allow_adhoc:
        yield Finding(
            Level.WARNING,
            about,
            f"{process.title} lets agents pick approvers by hand in the step {', '.join(steps)}. Their yes does not "
            "count with approvers: psa; where HaloPSA does not tell who was picked, nobody's yes in that step counts.",
            "Switch ad-hoc approvers off in HaloPSA, use approvers: listed, or set approval.allow_adhoc: true.",
        )


# ---------------------------------------------------------------- what may be done to tickets of a type


def type_findings(record: Record, name: str, outcome: Named | None, names: Names, *, about: str) -> Iterator[Finding]:
    """Outcomes and statuses to which a ticket type restricts its tickets, where it shows them.

    The shape of the lists is not described (UNVERIFIED): where no id can be read off them, nothing is said.
    """
    actions = _ids(records(record.get("allowed_actions")), "action_id", "outcome_id", "id")
    if record.get("allowall_actions") is False and actions and outcome and int(outcome.id) not in actions:
        yield Finding(
            Level.WARNING,
            about,
            f"The ticket type {name} does not list the outcome {outcome.name} among its allowed actions, so notes "
            "may be refused.",
            "Allow the outcome there, or name another one under note_outcome.",
        )
    statuses = _ids(records(record.get("allowed_status")), "status_id", "id")
    if record.get("allowall_status") is False and statuses:
        missing = sorted({status for status in names.targets.values() if status not in statuses})
        if missing:
            yield Finding(
                Level.WARNING,
                about,
                f"The ticket type {name} does not allow {', '.join(_status(one, names) for one in missing)}, to which "
                "the connector moves its tickets.",
                "Allow it there, or name another one under statuses.",
            )


def workflow_findings(workflow: Record, ticket_type: str, outcome: Named, *, about: str) -> Iterator[Finding]:
    """Whether the outcome of our notes can be run in every step of a ticket type's workflow.

    An outcome that the present step does not offer is refused with a 400 (CyberDrain/CIPP pull request 106).
    """
    title = f"The workflow {text(workflow, 'name')} of the ticket type {ticket_type}"
    wanted, steps = int(outcome.id), records(workflow.get("steps"))
    always = _ids(records(workflow.get("always_allow_actions")), "id", "action_id")
    without = [
        text(step, "name") or f"step {text(step, 'step_id')}"
        for step in steps
        if wanted not in _ids(records(step.get("actions")), "action_id")
    ]
    if wanted in always or (steps and not without):
        yield Finding(Level.OK, about, f"{title} allows the outcome {outcome.name}.")
    elif without:
        everywhere = len(without) == len(steps)
        where = "in none of its steps" if everywhere else f"not in the step {', '.join(without)}"
        yield Finding(
            Level.ERROR if everywhere else Level.WARNING,
            about,
            f"{title} allows the outcome {outcome.name} {where}: notes are refused there.",
            "Add the outcome to the workflow's always allowed actions, or name another one under note_outcome.",
            temporary=everywhere,
        )


def outcome_findings(row: Record, outcome: Named, names: Names, *, about: str) -> Iterator[Finding]:
    """Whether the outcome does more than to write a note."""
    status = number(row.get("newstatus"))
    if status is not None and status in names.statuses:
        yield Finding(
            Level.WARNING,
            about,
            f"The outcome {outcome.name} moves a ticket to {_status(status, names)}: every note would do that.",
            "Use an outcome without a status of its own.",
        )


def _ids(rows: Iterable[Record], *keys: str) -> frozenset[int]:
    found = (next((id_ for key in keys if (id_ := identifier(row, key))), None) for row in rows)
    return frozenset(id_ for id_ in found if id_ is not None)


def _status(status: int | None, names: Names) -> str:
    return f"{names.statuses.get(status or 0, '?')} ({status})"
