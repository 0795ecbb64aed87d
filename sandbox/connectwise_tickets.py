"""ConnectWise's tickets and their notes over HTTP.

Sources, read 2026-11-22: OpenAPI 2026.4; the Developer Guide on PATCH; real answers and refusals in
rapid7/insightconnect-plugins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox import connectwise_json as spell
from sandbox.connectwise_call import Call, Route, body_of, json_of, listed, ordered, query_of, reference_in
from sandbox.connectwise_columns import chosen_tickets, ticket_columns
from sandbox.connectwise_patch import apply, operations_in
from sandbox.connectwise_records import NoRecord, Note, Rejected, Ticket, invalid

PLACES = "detailDescriptionFlag, internalAnalysisFlag, resolutionFlag"


class Tickets(Call):
    """The handlers; one instance per world."""

    def routes(self) -> list[Route]:
        notes = "/service/tickets/{id:int}/notes"
        return [
            *listed("/service/tickets", self.list_tickets),
            ("POST", "/service/tickets", self.post_ticket),
            ("POST", "/service/tickets/search", self.search_tickets),
            ("GET", "/service/tickets/{id:int}", self.get_ticket),
            ("PATCH", "/service/tickets/{id:int}", self.patch_ticket),
            ("DELETE", "/service/tickets/{id:int}", self.delete_ticket),
            ("GET", "/service/tickets/{id:int}/allNotes", self.list_all_notes),
            *listed(notes, self.list_notes),
            ("POST", notes, self.post_note),
            ("GET", f"{notes}/{{note:int}}", self.get_note),
            ("PATCH", f"{notes}/{{note:int}}", self.patch_note),
            ("DELETE", f"{notes}/{{note:int}}", self.delete_note),
        ]

    # -- tickets ------------------------------------------------------------------------------------------------

    async def list_tickets(self, request: Request) -> Response:
        return self._listed(request, query_of(request))

    async def search_tickets(self, request: Request) -> Response:
        """The same with its conditions in the body, for those too long for an address."""
        body = await body_of(request, "filterValues")
        return self._listed(request, query_of(request) | {key.lower(): str(value) for key, value in body.items()})

    def _listed(self, request: Request, query: Mapping[str, str]) -> Response:
        found = chosen_tickets(self.desk, query)
        forward = request.headers.get("pagination-type", "").lower() == "forward-only"
        if not forward:
            found = ordered(found, query.get("orderby", ""), ticket_columns(self.desk))
        return self.page(request, found, lambda ticket: spell.ticket_row(self.desk, ticket))

    async def get_ticket(self, request: Request) -> Response:
        return self.single(request, spell.ticket_row(self.desk, self._ticket(request)))

    async def post_ticket(self, request: Request) -> Response:
        """Summary and company are needed; a contact, board, type or status is taken where it is given."""
        body = await body_of(request, "ticket")
        desk, actor = self.desk, self.desk.api_actor()
        if not body.get("summary"):
            raise invalid("ticket", "summary", "The summary field is required.", "MissingRequiredField")
        if len(str(body["summary"])) > 100:
            raise invalid("ticket", "summary", "The summary field is longer than 100 characters.")
        company = reference_in(body, "company", "ticket")
        if company is None:
            raise invalid("ticket", "company", "The company field is required.", "MissingRequiredField")
        try:
            company_id = desk.company_named(company).id
            board = reference_in(body, "board", "ticket")
            board_id = desk.board_named(board).id if board is not None else min(desk.boards)
        except NoRecord as missing:
            name = "company/id" if "Company" in str(missing) else "board/id"
            raise invalid("ticket", name, f"{missing} not found", "NotFound") from None
        ticket = desk.raise_ticket(
            actor=actor,
            board_id=board_id,
            company_id=company_id,
            summary=str(body["summary"]),
            details=str(body.get("initialDescription") or ""),
            announced=False,
        )
        wanted = [
            {"op": "replace", "path": name, "value": body[name]}
            for name in ("type", "subType", "contact", "owner", "status", "team", "priority", "customFields")
            if body.get(name) is not None
        ]
        try:
            apply(desk, ticket, operations_in(wanted), actor)
        except Rejected:
            desk.tickets.remove(ticket)
            raise
        desk.announce(ticket, "added", actor)
        return self.answer(spell.ticket_row(desk, ticket), 201)

    async def patch_ticket(self, request: Request) -> Response:
        ticket = self._ticket(request)
        actor = self.desk.api_actor()
        operations = operations_in(await json_of(request, "ticket"))
        apply(self.desk, ticket, operations, actor)
        self.desk.touch(ticket, actor)
        return self.answer(spell.ticket_row(self.desk, ticket))

    async def delete_ticket(self, request: Request) -> Response:
        self.desk.delete(self._ticket(request), self.desk.api_actor())
        return Response(status_code=204)

    def _ticket(self, request: Request) -> Ticket:
        return self.desk.ticket(request.path_params["id"])

    # -- notes --------------------------------------------------------------------------------------------------

    async def list_notes(self, request: Request) -> Response:
        ticket = self._ticket(request)
        rows = [spell.note_row(self.desk, ticket, note) for note in ticket.notes]
        return self.rows(request, rows, ("text", "createdBy", "dateCreated", "member/id", "contact/id"))

    async def list_all_notes(self, request: Request) -> Response:
        return self.rows(request, spell.any_note_rows(self.desk, self._ticket(request)), ("noteType", "text"))

    async def get_note(self, request: Request) -> Response:
        ticket = self._ticket(request)
        return self.single(request, spell.note_row(self.desk, ticket, self._note(request, ticket)))

    async def post_note(self, request: Request) -> Response:
        ticket, body = self._ticket(request), await body_of(request, "serviceNote")
        text = str(body.get("text") or "")
        if self.desk.habits.note_lines == "join":
            text = " ".join(text.split("\n"))
        if not text.strip():
            raise invalid("serviceNote", "text", "The text field is required.", "MissingRequiredField")
        _placed(body)
        contact_id = reference_in(body, "contact", "serviceNote")
        member_id = reference_in(body, "member", "serviceNote")
        note = self.desk.add_note(
            ticket,
            self.desk.api_actor(),
            text,
            discussion=bool(body.get("detailDescriptionFlag")),
            internal=bool(body.get("internalAnalysisFlag")),
            resolution=bool(body.get("resolutionFlag")),
            member_id=member_id if member_id in self.desk.members else None,
            contact=self.desk.contacts.get(contact_id) if contact_id is not None else None,
            process_notifications=body.get("processNotifications") is not False,
        )
        return self.answer(spell.note_row(self.desk, ticket, note), 201)

    async def patch_note(self, request: Request) -> Response:
        """Notes can be edited, so what stands in one is no proof."""
        ticket = self._ticket(request)
        note = self._note(request, ticket)
        attributes = {
            "text": "text",
            "detailDescriptionFlag": "discussion",
            "internalAnalysisFlag": "internal",
            "resolutionFlag": "resolution",
        }
        changes: dict[str, Any] = {}
        for operation in operations_in(await json_of(request, "serviceNote")):
            if operation.path not in attributes:
                raise invalid("serviceNote", operation.path, f"{operation.path} cannot be changed")
            changes[attributes[operation.path]] = operation.value
        for name, value in changes.items():
            setattr(note, name, str(value) if name == "text" else bool(value))
        note.updated_at, note.updated_by = self.desk.now(), self.desk.api_actor().identifier
        return self.answer(spell.note_row(self.desk, ticket, note))

    async def delete_note(self, request: Request) -> Response:
        ticket = self._ticket(request)
        ticket.notes.remove(self._note(request, ticket))
        return Response(status_code=204)

    def _note(self, request: Request, ticket: Ticket) -> Note:
        wanted = request.path_params["note"]
        for note in ticket.notes:
            if note.id == wanted:
                return note
        raise NoRecord("Service Note", wanted)


def _placed(body: Mapping[str, Any]) -> None:
    """A note has to stand somewhere; the refusal is a real one."""
    if not any(body.get(name) for name in PLACES.split(", ")):
        row = {
            "code": "ServiceNote",
            "message": "Please choose where to display the notes in order to save this record.",
            "resource": "serviceNote",
            "field": PLACES,
        }
        raise Rejected(400, "InvalidObject", "serviceNote object is invalid", [row])
