"""HaloPSA's actions: a ticket's history, and the notes that are written into it.

Sources, read 2026-11-22: HaloAPI tests, CIPP PR 106, a Rust client's notes, the HaloPSA provider for Uptime Kuma;
PyPI HaloPSA for the list that is empty without a ticket or two dates.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import desk_rules
from sandbox import halo_json as spell
from sandbox.desk_records import NotThere, Outcome, Refusal, Ticket
from sandbox.halo_request import ModelState, array_of, is_true, moment_in, number_in, path_id, query_of, whole
from sandbox.halo_settings import AGENT, APPLICATION, DEFAULT_COUNT, Handler
from sandbox.world import World


class Actions:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/actions", self.list_actions),
            ("POST", "/api/actions", self.post_actions),
            ("GET", "/api/actions/{id}", self.get_action),
        ]

    async def list_actions(self, request: Request) -> Response:
        query = query_of(request)
        start, end = moment_in(query, "startdate"), moment_in(query, "enddate")
        html = is_true(query.get("includehtmlnote"))
        rows = [
            spell.action_row(ticket, action, html=html)
            for ticket in self._tickets_in(query)
            for action in reversed(ticket.actions)
            if not (is_true(query.get("excludesys")) and action.system)
            and not (is_true(query.get("excludeprivate")) and action.hidden)
            and (start is None or action.at >= start)
            and (end is None or action.at <= end)
        ]
        return JSONResponse({"record_count": len(rows), "actions": rows[: number_in(query, "count", DEFAULT_COUNT)]})

    def _tickets_in(self, query: dict[str, str]) -> list[Ticket]:
        """The ticket that `ticket_id` names; every ticket with both dates; none else."""
        if "ticket_id" in query:
            return [self.world.desk.ticket(number_in(query, "ticket_id", 0))]
        if moment_in(query, "startdate") and moment_in(query, "enddate"):
            return list(self.world.desk.tickets.values())
        return []

    async def get_action(self, request: Request) -> Response:
        query = query_of(request)
        if "ticket_id" not in query:
            raise Refusal("ticket_id must be specified")
        ticket = self.world.desk.ticket(number_in(query, "ticket_id", 0))
        wanted = path_id(request)
        for action in ticket.actions:
            if action.id == wanted:
                return JSONResponse(spell.action_row(ticket, action))
        raise NotThere("action")

    async def post_actions(self, request: Request) -> Response:
        answers = [self._post_action(index, body) for index, body in enumerate(await array_of(request))]
        everything = is_true(query_of(request).get("returnall"))
        return JSONResponse(answers if everything else (answers or [{}])[-1], status_code=201)

    def _post_action(self, index: int, body: dict[str, Any]) -> dict[str, Any]:
        desk = self.world.desk
        if not body.get("ticket_id"):
            raise Refusal("An Action must be associated with a ticket_id")
        ticket = desk.ticket(whole(body, "ticket_id", index))
        note, html = str(body.get("note") or ""), str(body.get("note_html") or "")
        if body.get("id"):
            wanted = whole(body, "id", index)
            action = next((action for action in ticket.actions if action.id == wanted), None)
            if action is None:
                raise NotThere("action")
            action.note, action.note_html = note or html or action.note, html or note or action.note_html
            desk.touch(ticket)
            return spell.action_row(ticket, action)
        outcome = self._outcome_of(index, body)
        desk_rules.require_outcome(desk, ticket, outcome)
        hours = hours_in(body, index)
        new_status = whole(body, "new_status", index) if body.get("new_status") is not None else None
        old_status = ticket.status_id
        if new_status is not None:
            desk_rules.move(desk, ticket, new_status)
        action = desk.add_action(
            ticket,
            outcome,
            who=str(body.get("who") or AGENT),
            note=note or html,
            note_html=html or note,
            hidden=bool(body.get("hiddenfromuser", outcome.hidden)),
            application=APPLICATION,
            hours=hours,
        )
        action.old_status = old_status
        action.sendemail = bool(body.get("sendemail"))
        row = spell.action_row(ticket, action)
        desk_rules.set_back(desk, ticket)
        return row

    def _outcome_of(self, index: int, body: dict[str, Any]) -> Outcome:
        desk = self.world.desk
        outcome = None
        if body.get("outcome_id"):
            outcome = desk.outcomes.get(whole(body, "outcome_id", index))
        elif body.get("outcome"):
            outcome = desk.outcome_named(str(body["outcome"]))
        if outcome is None:
            raise Refusal("An Outcome must be entered for this Action")
        return outcome


def hours_in(body: dict[str, Any], index: int) -> float:
    """`timetaken`: decimal hours, as HaloPSA's own pages send them."""
    value = body.get("timetaken")
    if value is None:
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        path = f"[{index}].timetaken"
        raise ModelState(path, f"Could not convert string to decimal: {value}. Path '{path}'.") from None
