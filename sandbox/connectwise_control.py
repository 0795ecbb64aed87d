"""The control port's side of ConnectWise: playing customer, approver, technician, workflow rule, e-mail connector."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.connectwise_control_view import plain, shown_ticket
from sandbox.connectwise_deliveries import FORGERIES
from sandbox.connectwise_desk import ConnectWiseDesk, contact_actor, member_actor
from sandbox.connectwise_records import EMAIL_CONNECTOR, WORKFLOW, Actor, Contact, Member, Named, Ticket
from sandbox.connectwise_seed import add_contact
from sandbox.control_call import Handler, object_of
from sandbox.desk_records import NotThere
from sandbox.world import World

ACCOUNT, WHAT, APPROVAL = 41, 42, 43
"""The custom fields "Reset account", "Reset what" and "Approval"."""

TECHNICIAN = "TinaT"


class ConnectWiseControl:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def desk(self) -> ConnectWiseDesk:
        return self.world.connectwise

    def routes(self) -> list[tuple[str, str, Handler]]:
        base = "/control/connectwise"
        ticket = f"{base}/tickets/{{id:int}}"
        return [
            ("POST", f"{base}/tickets", self.raise_ticket),
            ("GET", f"{base}/tickets", self.list_tickets),
            ("GET", ticket, self.get_ticket),
            ("PATCH", ticket, self.patch_ticket),
            ("DELETE", ticket, self.delete_ticket),
            ("POST", f"{ticket}/approve", partial(self.decide, "Approved")),
            ("POST", f"{ticket}/reject", partial(self.decide, "Denied")),
            ("POST", f"{ticket}/deny", partial(self.decide, "Denied")),
            ("POST", f"{ticket}/close", self.close),
            ("POST", f"{ticket}/merge", self.merge),
            ("POST", f"{ticket}/notes", self.add_note),
            ("POST", f"{base}/bulk-tickets", self.bulk_tickets),
            ("GET", f"{base}/people", self.list_people),
            ("POST", f"{base}/people", self.add_person),
            ("PATCH", f"{base}/contacts/{{id:int}}", self.patch_contact),
            ("PATCH", f"{base}/members/{{id:int}}", self.patch_member),
            ("GET", f"{base}/time-entries", self.list_time),
            ("GET", f"{base}/callbacks", self.list_callbacks),
            ("GET", f"{base}/deliveries", self.list_deliveries),
            ("POST", f"{base}/deliveries", self.send_delivery),
            ("GET", f"{base}/habits", self.get_habits),
            ("POST", f"{base}/habits", self.set_habits),
            ("POST", f"{base}/upgrade", self.upgrade),
        ]

    # -- tickets ------------------------------------------------------------------------------------------------

    async def raise_ticket(self, request: Request) -> Response:
        """Play the requester; `requester` is an address or a contact's id. See `sandbox/README.md` for the keys.

        An address that no contact has, as in a mail from a stranger, leaves the ticket without a contact.
        """
        body = await object_of(request)
        desk = self.desk
        wanted = body.get("requester", "ben@contoso.com")
        contact = desk.contacts.get(wanted) if isinstance(wanted, int) else desk.contact_with(str(wanted))
        if contact is None and not body.get("company"):
            raise NotThere(f"contact {wanted!r}; say the company for a ticket without one")
        company = desk.company_named(body["company"]).id if body.get("company") else _company_of(contact)
        board = desk.board_named(body.get("board", "Service Desk"))
        kind = desk.type_named(board.id, body.get("type", "Password Reset"))
        status = body.get("status", "Waiting Approval")
        by = body.get("by", "contact" if contact else "email")
        ticket = desk.raise_ticket(
            actor=self._actor(str(body.get("actor", wanted)), by),
            board_id=board.id,
            company_id=company,
            type_id=kind.id,
            status_id=desk.status_named(board.id, status).id,
            contact=contact,
            contact_email=None if contact else str(wanted),
            summary=str(body.get("summary", kind.name)),
            details=str(body.get("details", "")),
            custom=_custom_of(body),
            source_id=2 if contact else 1,
        )
        return JSONResponse({"id": ticket.id}, status_code=201)

    async def list_tickets(self, request: Request) -> Response:
        """All tickets, or those of one `type`; 500 at most, newest first."""
        kind = request.query_params.get("type")
        found = [
            ticket
            for ticket in reversed(list(self.desk.tickets.values()))
            if kind is None or (ticket.type_id is not None and self.desk.types[ticket.type_id].name == kind)
        ]
        return JSONResponse([shown_ticket(self.desk, ticket) for ticket in found[:500]])

    async def get_ticket(self, request: Request) -> Response:
        return JSONResponse(shown_ticket(self.desk, self._ticket(request)))

    async def patch_ticket(self, request: Request) -> Response:
        """Change what is named, as `actor` (`by`); `quiet` leaves the date, the trail's entries stay."""
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        actor = self._actor(str(body.pop("actor", TECHNICIAN)), body.pop("by", None))
        quiet, before = bool(body.pop("quiet", False)), ticket.updated_at
        known = {"board", "type", "status", "company", "requester", "summary", "owner", "team", *_FIELDS}
        if set(body) - known:
            raise ValueError(f"Unknown: {', '.join(sorted(set(body) - known))}. There are: {', '.join(sorted(known))}")
        if "board" in body:
            desk.set_board(ticket, desk.board_named(body["board"]).id, actor)
        if "type" in body:
            desk.set_type(ticket, desk.type_named(ticket.board_id, body["type"]).id, actor)
        if "company" in body:
            desk.set_company(ticket, desk.company_named(body["company"]).id, actor)
        if "requester" in body:
            desk.set_contact(ticket, self._contact(body["requester"]).id if body["requester"] else None, actor)
        if "summary" in body:
            desk.trail(ticket, "Summary", ticket.summary, str(body["summary"]), actor)
            ticket.summary = str(body["summary"])
        if "owner" in body:
            desk.set_owner(ticket, self._member(body["owner"]).id if body["owner"] else None, actor)
        if "team" in body:
            ticket.team_id = next(one.id for one in desk.teams.values() if one.name == body["team"])
        for name, field_id in _FIELDS.items():
            if name in body:
                desk.set_custom(ticket, field_id, None if body[name] is None else str(body[name]), actor)
        if "status" in body:
            desk.set_status(ticket, desk.status_named(ticket.board_id, body["status"]).id, actor)
        desk.touch(ticket, actor)
        if quiet:
            desk.tickets.touch(ticket, before)
        return JSONResponse(shown_ticket(desk, ticket))

    async def delete_ticket(self, request: Request) -> Response:
        self.desk.delete(self._ticket(request), self._actor(TECHNICIAN))
        return JSONResponse({})

    async def decide(self, word: str, request: Request) -> Response:
        """Approve or deny: `{actor, by, via, status, comment}`, all optional.

        `via` is `status` (default), `field` (the custom field Approval) or `both`. Without `actor` it is the company's
        first approver. A comment becomes a discussion note of that person.
        """
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        asked = desk.approvers_of(ticket.company_id)
        name = body.get("actor") or (asked[0].email if asked else TECHNICIAN)
        actor = self._actor(str(name), body.get("by"))
        via = body.get("via", "status")
        if via not in ("status", "field", "both"):
            raise ValueError(f"via is status, field or both, not {via!r}")
        if body.get("comment"):
            desk.add_note(ticket, actor, str(body["comment"]), discussion=True)
        if via in ("field", "both"):
            desk.set_custom(ticket, APPROVAL, word, actor)
        if via in ("status", "both"):
            desk.set_status(ticket, desk.status_named(ticket.board_id, body.get("status", word)).id, actor)
        desk.touch(ticket, actor)
        return JSONResponse(shown_ticket(desk, ticket))

    async def close(self, request: Request) -> Response:
        body = await object_of(request)
        desk, ticket = self.desk, self._ticket(request)
        actor = self._actor(str(body.get("actor", TECHNICIAN)), body.get("by"))
        desk.set_status(ticket, desk.status_named(ticket.board_id, "Closed").id, actor)
        desk.touch(ticket, actor)
        return JSONResponse(shown_ticket(desk, ticket))

    async def merge(self, request: Request) -> Response:
        body = await object_of(request)
        ticket, into = self._ticket(request), self.desk.ticket(int(body["into"]))
        self.desk.merge(ticket, into, self._actor(str(body.get("actor", TECHNICIAN)), body.get("by")))
        return JSONResponse(shown_ticket(self.desk, ticket))

    async def add_note(self, request: Request) -> Response:
        """`{text, actor, by, place}`: place is `discussion` (default), `internal` or `resolution`."""
        body = await object_of(request)
        place = str(body.get("place", "discussion"))
        if place not in ("discussion", "internal", "resolution"):
            raise ValueError(f"place is discussion, internal or resolution, not {place!r}")
        actor = self._actor(str(body.get("actor", TECHNICIAN)), body.get("by"))
        note = self.desk.add_note(
            self._ticket(request),
            actor,
            str(body["text"]),
            discussion=place == "discussion",
            internal=place == "internal",
            resolution=place == "resolution",
        )
        return JSONResponse({"id": note.id}, status_code=201)

    async def bulk_tickets(self, request: Request) -> Response:
        """Many tickets at once: `{count, type, status, requester, subject, what, days_old}`.

        By default incidents that changed last at some time in the past 1 to 30 days; `days_old` 0 is just now.
        """
        body = await object_of(request)
        desk = self.desk
        contact = self._contact(body.get("requester", "ben@contoso.com"))
        board = desk.board_named(body.get("board", "Service Desk"))
        kind = desk.type_named(board.id, body.get("type", "Incident"))
        status = desk.status_named(board.id, body.get("status", "New")).id
        count, oldest = int(body.get("count", 100)), float(body.get("days_old", 30))
        custom, now, identifier = _custom_of(body), desk.now(), contact.email or contact.name
        first = desk.next_ticket
        for number in range(count):
            age = timedelta(days=min(1, oldest) + (oldest - min(1, oldest)) * (count - number) / count)
            moment = now - age if oldest else now
            desk.tickets.add(
                Ticket(
                    id=first + number,
                    summary=f"{kind.name} {number + 1}",
                    board_id=board.id,
                    status_id=status,
                    company_id=contact.company_id,
                    created_at=moment,
                    updated_at=moment,
                    entered_by=identifier,
                    updated_by=identifier,
                    type_id=kind.id,
                    contact_id=contact.id,
                    contact_name=contact.name,
                    contact_email=contact.email,
                    custom=dict(custom),
                )
            )
        desk.next_ticket += count
        return JSONResponse({"ids": list(range(first, first + count))}, status_code=201)

    # -- people -------------------------------------------------------------------------------------------------

    async def list_people(self, _request: Request) -> Response:
        desk = self.desk
        return JSONResponse(
            {
                "companies": [asdict(one) for one in desk.companies.values()],
                "contacts": [asdict(one) for one in desk.contacts.values()],
                "members": [asdict(one) for one in desk.members.values()],
            }
        )

    async def add_person(self, request: Request) -> Response:
        """A contact `{name, email, company, types, phone}`, or a member `{member: identifier, name, email}`."""
        body = await object_of(request)
        desk = self.desk
        email = str(body["email"]) if body.get("email") else None
        if body.get("member"):
            if desk.member_with(str(body["member"])):
                raise ValueError(f"there is a member {body['member']!r} already")
            member = Member(max(desk.members) + 1, str(body["member"]), str(body["name"]), email)
            desk.members[member.id] = member
            return JSONResponse(asdict(member), status_code=201)
        company = desk.company_named(body["company"])
        contact = add_contact(desk, company.id, str(body["name"]), email, phone=body.get("phone"))
        contact.types = self._types(body.get("types", ["End User"]))
        return JSONResponse(asdict(contact), status_code=201)

    async def patch_contact(self, request: Request) -> Response:
        """`{name, email, company, types, inactive, manager}`."""
        body = await object_of(request)
        contact = self._contact(request.path_params["id"])
        if "types" in body:
            contact.types = self._types(body["types"])
        if "company" in body:
            contact.company_id = self.desk.company_named(body["company"]).id
        if "manager" in body:
            contact.manager_id = self._contact(body["manager"]).id if body["manager"] else None
        contact.name = str(body.get("name", contact.name))
        contact.email = body.get("email", contact.email)
        contact.inactive = bool(body.get("inactive", contact.inactive))
        return JSONResponse(asdict(contact))

    async def patch_member(self, request: Request) -> Response:
        """`{name, email, inactive}`."""
        body = await object_of(request)
        member = self.desk.members.get(request.path_params["id"])
        if member is None:
            raise NotThere(f"member {request.path_params['id']}")
        member.name = str(body.get("name", member.name))
        member.email = body.get("email", member.email)
        member.inactive = bool(body.get("inactive", member.inactive))
        return JSONResponse(asdict(member))

    async def list_time(self, _request: Request) -> Response:
        return JSONResponse([plain(asdict(one)) for one in self.desk.time_entries.values()])

    # -- callbacks, habits, codebase ----------------------------------------------------------------------------

    async def list_callbacks(self, _request: Request) -> Response:
        rows = [plain(asdict(one)) for one in self.desk.callbacks.values()]
        return JSONResponse([{key: value for key, value in row.items() if key != "signing_key"} for row in rows])

    async def list_deliveries(self, _request: Request) -> Response:
        return JSONResponse([asdict(one) for one in self.world.deliveries.sent])

    async def send_delivery(self, request: Request) -> Response:
        """A message that nothing caused: `{ticket, action, forged, key_url, member}`; see `connectwise_deliveries`."""
        body = await object_of(request)
        forged = str(body.get("forged", "none"))
        if forged not in FORGERIES:
            raise ValueError(f"forged is one of {', '.join(FORGERIES)}, not {forged!r}")
        if not self.desk.callbacks:
            raise NotThere("callback registered")
        sent = [
            self.world.deliveries.send(
                callback,
                int(body["ticket"]),
                str(body.get("action", "updated")),
                str(body.get("member", TECHNICIAN)),
                forged=forged,
                key_url=str(body.get("key_url", "")),
            )
            for callback in list(self.desk.callbacks.values())
        ]
        return JSONResponse([asdict(one) for one in sent], status_code=201)

    async def get_habits(self, _request: Request) -> Response:
        return JSONResponse(asdict(self.desk.habits))

    async def set_habits(self, request: Request) -> Response:
        """Set any of `connectwise_habits.Habits`."""
        self.desk.habits.change(await object_of(request))
        return JSONResponse(asdict(self.desk.habits))

    async def upgrade(self, request: Request) -> Response:
        """Move to another codebase, `{codebase}`, by default the next version; the old one answers 404 from now on."""
        body = await object_of(request)
        year, _, part = self.desk.codebase.removeprefix("v").partition("_")
        self.desk.codebase = str(body.get("codebase") or f"v{year}_{int(part) + 1}").strip("/")
        return JSONResponse({"codebase": self.desk.codebase})

    # -- who and what -------------------------------------------------------------------------------------------

    def _ticket(self, request: Request) -> Ticket:
        return self.desk.ticket(request.path_params["id"])

    def _actor(self, name: str, by: str | None = None) -> Actor:
        """By kind; without one, a member of that name or address comes before a contact."""
        if by == "workflow":
            return WORKFLOW
        if by == "email":
            return EMAIL_CONNECTOR
        if by not in (None, "member", "contact"):
            raise ValueError(f"by is member, contact, workflow or email, not {by!r}")
        if by != "contact":
            member = self.desk.member_with(name)
            if member is not None:
                return member_actor(member)
            if by == "member":
                raise NotThere(f"member {name!r}")
        return contact_actor(self._contact(int(name) if name.isdigit() else name))

    def _contact(self, wanted: int | str) -> Contact:
        desk = self.desk
        contact = desk.contacts.get(wanted) if isinstance(wanted, int) else desk.contact_with(wanted)
        if contact is None:
            raise NotThere(f"contact {wanted!r}")
        return contact

    def _member(self, name: str) -> Member:
        member = self.desk.member_with(name)
        if member is None:
            raise NotThere(f"member {name!r}")
        return member

    def _types(self, names: list[str]) -> list[int]:
        known: dict[str, Named] = {one.name: one for one in self.desk.contact_types.values()}
        return [known[name].id for name in names]


_FIELDS = {"subject": ACCOUNT, "what": WHAT, "approval": APPROVAL}


def _custom_of(body: dict[str, Any]) -> dict[int, str]:
    return {number: str(body[name]) for name, number in _FIELDS.items() if body.get(name) is not None}


def _company_of(contact: Contact | None) -> int:
    if contact is None:
        raise NotThere("contact")
    return contact.company_id
