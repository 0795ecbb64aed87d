"""What the customer configured against a change: workflows, ticket rules, closure fields.

They hold for what comes through the API; an agent's own edits on the control port go around them. Sources, read
2026-11-22: CIPP PR 106 (an outcome that the workflow does not allow); swagger RequestType, FlowHeader and
`_appointment01_ok`. *The words of every refusal but the first, what a rule's undoing looks like, and whether closed
tickets can be opened again through the API, are guesses.*
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.desk_records import Outcome, Refusal, Ticket

if TYPE_CHECKING:
    from sandbox.desk import Desk

NO_ACCESS = "You do not have access to this Action at the moment"


class NotAllowed(Exception):
    """The API agent lacks a right for this."""


def require_outcome(desk: Desk, ticket: Ticket, outcome: Outcome) -> None:
    """Refuse an outcome that the API agent may not run on this ticket now.

    Raises:
        Refusal: The agent's rights or the present step of the workflow forbid it.
    """
    if not outcome.allowed:
        raise Refusal(NO_ACCESS)
    workflow = desk.workflows.get(desk.types[ticket.type_id].workflow or 0)
    if workflow is None or outcome.id in workflow.always:
        return
    step = workflow.steps[ticket.workflow_step]
    if outcome.id not in step.outcomes:
        raise Refusal(NO_ACCESS)


def follow_workflow(desk: Desk, ticket: Ticket) -> None:
    """Move the ticket to the workflow's step that its status leads to, if any."""
    workflow = desk.workflows.get(desk.types[ticket.type_id].workflow or 0)
    if workflow is None:
        return
    for index, step in enumerate(workflow.steps):
        if ticket.status_id in step.statuses:
            ticket.workflow_step = index


def move(desk: Desk, ticket: Ticket, status_id: int, *, appointment_ok: bool = False) -> None:
    """Move a ticket as the API is asked to, if nothing is against it.

    Raises:
        Refusal: A rule, a closure field or an open appointment is against it; nothing changed.
        NotAllowed: The API agent may not open closed tickets again; nothing changed.
    """
    ticket_type = desk.types[ticket.type_id]
    if desk.is_closed(ticket) and status_id != desk.closed_status and desk.habits.reopening != "allow":
        if desk.habits.reopening == "forbid":
            raise NotAllowed
        if desk.habits.reopening == "refuse":
            raise Refusal("You do not have permission to re-open this Ticket")
        return
    if status_id == desk.closed_status and ticket.status_id != status_id:
        missing = [name for name in ticket_type.closure_fields if not ticket.custom.get(name)]
        if missing:
            labels = {one.name: one.label for one in desk.fields.values()}
            raise Refusal(f"Please complete the mandatory field: {labels.get(missing[0], missing[0])}")
        if ticket.open_appointment and not appointment_ok:
            raise Refusal("This Ticket has an open Appointment")
    rule = next((rule for rule in ticket_type.status_rules if rule.status_id == status_id), None)
    if rule is not None and rule.does == "refuse":
        raise Refusal(rule.message or "The Status cannot be changed by a Ticket Rule")
    if rule is not None and rule.does == "ignore":
        desk.touch(ticket)
        return
    before = ticket.status_id
    desk.set_status(ticket, status_id)
    if rule is not None and rule.does == "undo":
        ticket.set_back_to = before


def set_back(desk: Desk, ticket: Ticket) -> None:
    """Run the rules that undo what was answered as done."""
    if ticket.set_back_to is not None:
        wanted, ticket.set_back_to = ticket.set_back_to, None
        desk.add_action(ticket, Outcome(0, "Ticket rule"), who="System", new_status=wanted, system=True)
