"""How HaloPSA spells what is configured: types, statuses, outcomes, fields, processes, workflows, teams and agents.

Sources, read 2026-11-22: the public Halo swagger; CIPP-API and HaloAPI for the lists that come bare. Teams, agents and
priorities are not in the slice that is checked; *the properties of the first two are the common few of public clients*,
those of a priority are a real one's (uktrade/help-desk-service).
"""

from __future__ import annotations

from typing import Any

from sandbox.builder import identifier
from sandbox.desk import Desk
from sandbox.desk_records import (
    AUTOMATIC,
    KINDS,
    Agent,
    ApprovalProcess,
    ApprovalStep,
    CustomField,
    Outcome,
    Priority,
    Status,
    Team,
    TicketType,
    Workflow,
    WorkflowStep,
)

USER_LOOKUP = 103
"""`lookup` of a field whose choices are HaloPSA's users; *the number is made up, no documented one was found*."""


def status_row(status: Status) -> dict[str, Any]:
    return {"id": status.id, "name": status.name, "shortname": status.name[:10], "type": 0, "sequence": status.id}


def priority_row(priority: Priority) -> dict[str, Any]:
    """Its own id is a GUID; tickets hold `priorityid`, which is unique within its `slaid` only."""
    return {
        "id": identifier(0, f"priority:{priority.agreement}:{priority.number}"),
        "slaid": priority.agreement,
        "priorityid": priority.number,
        "name": priority.name,
        "ishidden": priority.hidden,
    }


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "outcome": outcome.name,
        "buttonname": outcome.name,
        "hidden": False,
        "hidefromuser": outcome.hidden,
    }


def type_row(desk: Desk, ticket_type: TicketType, *, details: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": ticket_type.id,
        "name": ticket_type.name,
        "use": "ticket",
        "sequence": ticket_type.id,
        "cancreate": True,
        "agentscanselect": True,
        "visible": True,
    }
    if details:
        by_name = {custom_field.name: custom_field for custom_field in desk.fields.values()}
        row |= {
            "workflow_id": ticket_type.workflow or 0,
            "approval_process_id": ticket_type.approval_process or 0,
            "initial_status": 1,
            "statusafterapproverupdate": 21,
            "reopenedstatus": ticket_type.reopened_status or -1,
            "fields": [
                {
                    "id": 1000 + number,
                    "rtid": ticket_type.id,
                    "fieldid": by_name[name].id,
                    "fieldname": name,
                    "seq": number,
                }
                for number, name in enumerate(ticket_type.fields, start=1)
            ],
        }
    return row


def field_row(custom_field: CustomField) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": custom_field.id,
        "name": custom_field.name,
        "label": custom_field.label,
        "type": KINDS[custom_field.sort],
        "custom": 1,
        "usage": 1,
    }
    if custom_field.sort == "user":
        row["lookup"] = USER_LOOKUP
    if custom_field.values:
        row["values"] = [{"id": n, "name": text} for n, text in enumerate(custom_field.values, start=1)]
    return row


def process_row(process: ApprovalProcess, *, details: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": process.id, "name": process.name, "type": 0}
    if details:
        row["steps"] = [_step_row(process, step, number) for number, step in enumerate(process.steps, start=1)]
    return row


def _step_row(process: ApprovalProcess, step: ApprovalStep, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": step.id,
        "processid": process.id,
        "sequence": number,
        "name": step.name,
        "type": 1,
        "statusawaitingapproval": step.status_awaiting,
        "statusafteraccept": step.status_approved,
        "statusafterreject": step.status_rejected,
        "statusifnoapproval": step.status_none if step.status_none is not None else step.status_rejected,
        "allowadhocapprovers": step.adhoc,
        "approvalreminderintervalhrs": step.reminder_hours,
        "minapprovers": step.votes_to_accept,
        "is_mandatory": True,
    }
    row |= {switch: switch in step.automatic for switch in AUTOMATIC}
    if step.cab is not None:
        row |= {"agent_id_or_cab_id": step.cab.id, "cab_name": step.cab.name}
    return row


def workflow_row(desk: Desk, workflow: Workflow, *, details: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": workflow.id, "name": workflow.name, "active": True}
    if details:
        row["steps"] = [_workflow_step(desk, workflow, step) for step in workflow.steps]
        row["always_allow_actions"] = [outcome_row(desk.outcomes[one]) for one in workflow.always]
    return row


def _workflow_step(desk: Desk, workflow: Workflow, step: WorkflowStep) -> dict[str, Any]:
    return {
        "step_id": step.id,
        "flow_id": workflow.id,
        "name": step.name,
        "isstart": step is workflow.steps[0],
        "islaststep": step is workflow.steps[-1],
        "actions": [
            {
                "id": number,
                "flow_id": workflow.id,
                "start_step": step.id,
                "end_step": step.id,
                "action_id": outcome,
                "action_name": desk.outcomes[outcome].name,
                "seq": number,
                "approval_result": -1,
            }
            for number, outcome in enumerate(step.outcomes, start=1)
        ],
    }


def team_row(team: Team) -> dict[str, Any]:
    return {
        "id": team.id,
        "name": team.name,
        "sequence": team.id,
        "forrequests": True,
        "department_id": 17,
        "department_name": "Support",
        "inactive": team.inactive,
    }


def agent_row(agent: Agent) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "email": agent.email,
        "team": agent.teams[0] if agent.teams else "",
        "isdisabled": agent.inactive,
        "isapionly": agent.api_only,
    }
