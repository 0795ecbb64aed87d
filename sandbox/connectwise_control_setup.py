"""The control port's side of ConnectWise besides tickets: people, time, callbacks, habits and the codebase."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.connectwise_control_call import TECHNICIAN, ConnectWisePlay
from sandbox.connectwise_control_view import plain
from sandbox.connectwise_deliveries import FORGERIES
from sandbox.connectwise_records import Member, Named
from sandbox.connectwise_seed import add_contact
from sandbox.control_call import Handler, object_of
from sandbox.desk_records import NotThere


class ConnectWiseSetup(ConnectWisePlay):
    """The handlers; one instance per world."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        base = "/control/connectwise"
        return [
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
        contact = self.contact(request.path_params["id"])
        if "types" in body:
            contact.types = self._types(body["types"])
        if "company" in body:
            contact.company_id = self.desk.company_named(body["company"]).id
        if "manager" in body:
            contact.manager_id = self.contact(body["manager"]).id if body["manager"] else None
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
        """A message that nothing caused: `{ticket, action, forged, key_url, signing_key, member}`."""
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
                signing_key=str(body.get("signing_key", "")),
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

    def _types(self, names: list[str]) -> list[int]:
        known: dict[str, Named] = {one.name: one for one in self.desk.contact_types.values()}
        return [known[name].id for name in names]
