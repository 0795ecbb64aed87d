"""ConnectWise's configuration, people, trail and time over HTTP: what a connector reads besides tickets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox import connectwise_json as spell
from sandbox import connectwise_setup_json as spell_setup
from sandbox.connectwise_audit import shown_trail
from sandbox.connectwise_call import Call, Route, body_of, listed, query_of, reference_in, whole_in
from sandbox.connectwise_records import NoRecord, Rejected, TimeEntry, invalid

CONTACT_FIELDS = (
    "communicationItems/value",
    "communicationItems/communicationType",
    "communicationItems/defaultFlag",
    "communicationItems/type/name",
    "types/id",
    "types/name",
    "managerContact/id",
    "firstName",
    "lastName",
    "inactiveFlag",
    "company/id",
    "company/identifier",
    "company/name",
)


class Settings(Call):
    """The handlers; one instance per world."""

    def routes(self) -> list[Route]:
        boards = "/service/boards"
        return [
            ("GET", "/system/info", self.info),
            *listed(boards, self.list_boards),
            ("GET", f"{boards}/{{id:int}}", self.get_board),
            *listed(f"{boards}/{{id:int}}/statuses", self.list_statuses),
            ("GET", f"{boards}/{{id:int}}/statuses/{{inner:int}}", self.get_status),
            *listed(f"{boards}/{{id:int}}/types", self.list_types),
            ("GET", f"{boards}/{{id:int}}/types/{{inner:int}}", self.get_type),
            *listed(f"{boards}/{{id:int}}/subtypes", self.list_subtypes),
            *listed(f"{boards}/{{id:int}}/teams", self.list_teams),
            *listed("/service/priorities", self.list_priorities),
            *listed("/service/sources", self.list_sources),
            *listed("/company/companies", self.list_companies),
            ("GET", "/company/companies/{id:int}", self.get_company),
            *listed("/company/contacts", self.list_contacts),
            *listed("/company/contacts/types", self.list_contact_types),
            ("GET", "/company/contacts/{id:int}", self.get_contact),
            *listed("/system/members", self.list_members),
            ("GET", "/system/members/{id:int}", self.get_member),
            *listed("/system/userDefinedFields", self.list_fields),
            *listed("/system/audittrail", self.audit_trail),
            *listed("/time/entries", self.list_time),
            ("POST", "/time/entries", self.post_time),
            ("GET", "/time/entries/{id:int}", self.get_time),
            *listed("/service/tickets/{id:int}/timeentries", self.list_ticket_time),
        ]

    async def info(self, _request: Request) -> Response:
        return self.answer(
            {
                "version": f"{self.desk.codebase.replace('_', '.')}.98765",
                "isCloud": True,
                "serverTimeZone": "Eastern Standard Time",
                "cloudRegion": "NA",
                "licenseBits": [{"name": "Service", "activeFlag": True}],
            }
        )

    # -- boards -------------------------------------------------------------------------------------------------

    async def list_boards(self, request: Request) -> Response:
        """A client in the wild (connectpyse-manage) asks for `inactive`, which the description calls `inactiveFlag`."""
        rows = [spell_setup.board_row(one) for one in self.desk.boards.values()]
        return self.rows(request, rows, aliases={"inactive": "inactiveflag"})

    async def get_board(self, request: Request) -> Response:
        return self.single(request, spell_setup.board_row(self.desk.boards[self._board(request)]))

    async def list_statuses(self, request: Request) -> Response:
        board = self._board(request)
        mine = [one for one in self.desk.statuses.values() if one.board_id == board]
        return self.rows(request, [spell_setup.status_row(self.desk, one) for one in mine])

    async def get_status(self, request: Request) -> Response:
        one = self.desk.statuses.get(request.path_params["inner"])
        if one is None or one.board_id != self._board(request):
            raise NoRecord("Status", request.path_params["inner"])
        return self.single(request, spell_setup.status_row(self.desk, one))

    async def list_types(self, request: Request) -> Response:
        board = self._board(request)
        mine = [one for one in self.desk.types.values() if one.board_id == board]
        return self.rows(request, [spell_setup.type_row(self.desk, one) for one in mine], ("name",))

    async def get_type(self, request: Request) -> Response:
        one = self.desk.types.get(request.path_params["inner"])
        if one is None or one.board_id != self._board(request):
            raise NoRecord("Type", request.path_params["inner"])
        return self.single(request, spell_setup.type_row(self.desk, one))

    async def list_subtypes(self, request: Request) -> Response:
        board = self._board(request)
        mine = [one for one in self.desk.subtypes.values() if one.board_id == board]
        return self.rows(request, [spell_setup.subtype_row(self.desk, one) for one in mine], ("name",))

    async def list_teams(self, request: Request) -> Response:
        board = self._board(request)
        mine = [one for one in self.desk.teams.values() if one.board_id == board]
        return self.rows(request, [spell_setup.team_row(self.desk, one) for one in mine], ("name",))

    def _board(self, request: Request) -> int:
        board = self.desk.boards.get(request.path_params["id"])
        if board is None:
            raise NoRecord("Board", request.path_params["id"])
        return board.id

    async def list_priorities(self, request: Request) -> Response:
        return self.rows(request, [spell_setup.priority_row(one) for one in self.desk.priorities.values()])

    async def list_sources(self, request: Request) -> Response:
        return self.rows(request, [spell_setup.source_row(one) for one in self.desk.sources.values()])

    # -- companies and people -----------------------------------------------------------------------------------

    async def list_companies(self, request: Request) -> Response:
        return self.rows(request, [spell_setup.company_row(one) for one in self.desk.companies.values()])

    async def get_company(self, request: Request) -> Response:
        one = self.desk.companies.get(request.path_params["id"])
        if one is None:
            raise NoRecord("Company", request.path_params["id"])
        return self.single(request, spell_setup.company_row(one))

    async def list_contacts(self, request: Request) -> Response:
        return self.rows(
            request, [spell_setup.contact_row(self.desk, one) for one in self.desk.contacts.values()], CONTACT_FIELDS
        )

    async def get_contact(self, request: Request) -> Response:
        one = self.desk.contacts.get(request.path_params["id"])
        if one is None:
            raise NoRecord("Contact", request.path_params["id"])
        return self.single(request, spell_setup.contact_row(self.desk, one))

    async def list_contact_types(self, request: Request) -> Response:
        return self.rows(request, [spell_setup.contact_type_row(one) for one in self.desk.contact_types.values()])

    async def list_members(self, request: Request) -> Response:
        return self.rows(request, [spell_setup.member_row(one) for one in self.desk.members.values()])

    async def get_member(self, request: Request) -> Response:
        one = self.desk.members.get(request.path_params["id"])
        if one is None:
            raise NoRecord("Member", request.path_params["id"])
        return self.single(request, spell_setup.member_row(one))

    async def list_fields(self, request: Request) -> Response:
        rows = [spell_setup.field_row(one) for one in self.desk.fields.values()]
        return self.rows(request, rows)

    # -- the audit trail ----------------------------------------------------------------------------------------

    def _trail(self, request: Request) -> list[dict[str, str]]:
        """Of one ticket. What is answered without type and id is UNVERIFIED; here it is refused."""
        query = query_of(request)
        if not query.get("type") or not query.get("id"):
            raise Rejected(400, "InvalidParameter", "type and id are required.")
        if query["type"].lower() != "ticket":
            return []
        ticket = self.desk.ticket(whole_in(query, "id", 0))
        habits = self.desk.habits
        return shown_trail(
            ticket.audit,
            wording=habits.audit_wording,
            actor=habits.audit_actor,
            order=habits.audit_order,
            late=timedelta(seconds=habits.audit_late_seconds),
            now=self.world.now(),
        )

    async def audit_trail(self, request: Request) -> Response:
        """Forward-only paging does not work here, says the Developer Guide: it is answered as navigable."""
        known = ("text", "enteredDate", "enteredBy", "auditType", "auditSubType", "auditSource")
        return self.rows(request, [dict(row) for row in self._trail(request)], known, navigable_only=True)

    # -- time ---------------------------------------------------------------------------------------------------

    async def list_time(self, request: Request) -> Response:
        return self.rows(
            request,
            [spell.time_row(self.desk, one) for one in self.desk.time_entries.values()],
            ("chargeToId", "chargeToType", "member/id", "timeStart", "notes"),
        )

    async def get_time(self, request: Request) -> Response:
        one = self.desk.time_entries.get(request.path_params["id"])
        if one is None:
            raise NoRecord("Time Entry", request.path_params["id"])
        return self.single(request, spell.time_row(self.desk, one))

    async def list_ticket_time(self, request: Request) -> Response:
        ticket = self.desk.ticket(request.path_params["id"])
        return self.rows(request, [{"id": one.id} for one in self.desk.all_time_entries(ticket.id)])

    async def post_time(self, request: Request) -> Response:
        """Charge time to a service ticket; the end or the hours may be left out, not both."""
        body = await body_of(request, "timeEntry")
        desk, actor = self.desk, self.desk.api_actor()
        if body.get("chargeToType") != "ServiceTicket" or not isinstance(body.get("chargeToId"), int):
            raise invalid("timeEntry", "chargeToId", "The chargeToId field is required.", "MissingRequiredField")
        if desk.tickets.get(body["chargeToId"]) is None:
            raise invalid("timeEntry", "chargeToId", f"Service Ticket {body['chargeToId']} not found", "NotFound")
        member_id = reference_in(body, "member", "timeEntry") or desk.api_member
        if isinstance(member_id, str):
            named = desk.member_with(member_id)
            member_id = named.id if named else -1
        if member_id not in desk.members:
            raise invalid("timeEntry", "member/id", f"Member {member_id} not found", "NotFound")
        start = _moment(body, "timeStart")
        if start is None:
            raise invalid("timeEntry", "timeStart", "The timeStart field is required.", "MissingRequiredField")
        end, hours = _moment(body, "timeEnd"), body.get("actualHours")
        if end is None and not isinstance(hours, int | float):
            raise invalid("timeEntry", "timeEnd", "Either timeEnd or actualHours is required.", "MissingRequiredField")
        end = end or start + timedelta(hours=float(hours or 0))
        if end < start:
            raise invalid("timeEntry", "timeEnd", "timeEnd is before timeStart.")
        entry = TimeEntry(
            id=desk.next_time_entry,
            ticket_id=body["chargeToId"],
            member_id=member_id,
            start=start,
            end=end,
            hours=round(float(hours) if hours is not None else (end - start).total_seconds() / 3600, 2),
            notes=str(body.get("notes") or ""),
            at=desk.now(),
            entered_by=actor.identifier,
            discussion=bool(body.get("addToDetailDescriptionFlag")),
            internal=bool(body.get("addToInternalAnalysisFlag")),
            resolution=bool(body.get("addToResolutionFlag")),
            billable=str(body.get("billableOption") or "Billable"),
        )
        desk.next_time_entry += 1
        desk.time_entries[entry.id] = entry
        desk.touch(desk.ticket(entry.ticket_id), actor)
        return self.answer(spell.time_row(desk, entry), 201)


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """A date in UTC; one without its Z is refused."""
    text = body.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise invalid("timeEntry", name, f"{name} is not a date.") from None
    if moment.tzinfo is None:
        raise invalid("timeEntry", name, f"{name} is not a date in UTC.")
    return moment.astimezone(UTC)
