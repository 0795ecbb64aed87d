"""The control port's HaloPSA: how it is configured and behaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.control_call import Handler, object_of
from sandbox.desk import Desk
from sandbox.desk_records import (
    Agent,
    ApprovalProcess,
    ApprovalStep,
    Cab,
    Contact,
    CustomField,
    Member,
    NotThere,
    Outcome,
    Status,
    StatusRule,
    Team,
    Workflow,
    WorkflowStep,
)
from sandbox.world import World

RULES = ("refuse", "undo", "ignore")
DENIALS = (0, 401, 403, 404)


class HaloControl:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/control/halo", self.overview),
            ("POST", "/control/halo/habits", self.habits),
            ("POST", "/control/halo/other-calls", self.other_calls),
            ("POST", "/control/halo/statuses", self.add_status),
            ("POST", "/control/halo/outcomes", self.add_outcome),
            ("POST", "/control/halo/fields", self.add_field),
            ("POST", "/control/halo/teams", self.add_team),
            ("POST", "/control/halo/agents", self.add_agent),
            ("POST", "/control/halo/workflows", self.add_workflow),
            ("PATCH", "/control/halo/types/{name}", self.patch_type),
            ("POST", "/control/halo/processes", self.add_process),
            ("PATCH", "/control/halo/processes/{name}", self.patch_process),
            ("POST", "/control/halo/users", self.add_user),
            ("PATCH", "/control/halo/users/{id:int}", self.patch_user),
        ]

    async def overview(self, _request: Request) -> Response:
        """Everything that is configured."""
        desk = self.world.desk
        names = ("types", "statuses", "outcomes", "fields", "processes", "workflows", "teams", "agents", "contacts")
        shown: dict[str, Any] = {
            name: [_plain(asdict(record)) for record in getattr(desk, name).values()] for name in names
        }
        return JSONResponse(shown | {"habits": asdict(desk.habits)})

    async def habits(self, request: Request) -> Response:
        """Set any of `halo_habits.HaloHabits`."""
        self.world.desk.habits = replace(self.world.desk.habits, **await object_of(request))
        return JSONResponse(asdict(self.world.desk.habits))

    async def other_calls(self, request: Request) -> Response:
        """`{count}`: the customer's other tools made so many calls just now, out of the same allowance."""
        limits = self.world.limits
        for _ in range(int((await object_of(request))["count"])):
            self.world.throttled("halo", requests=limits.halo_requests, window_seconds=limits.halo_window_seconds)
        return JSONResponse({})

    # -- configuration ------------------------------------------------------------------------------------------

    async def add_status(self, request: Request) -> Response:
        desk, body = self.world.desk, await object_of(request)
        status = Status(_id(body, desk.statuses), str(body["name"]))
        desk.statuses[status.id] = status
        return _made(status)

    async def add_outcome(self, request: Request) -> Response:
        """`{name, hidden, allowed}`; the seeded workflow allows it in every step unless `workflow` is false."""
        desk, body = self.world.desk, await object_of(request)
        outcome = Outcome(
            _id(body, desk.outcomes),
            str(body["name"]),
            hidden=bool(body.get("hidden")),
            allowed=bool(body.get("allowed", True)),
        )
        desk.outcomes[outcome.id] = outcome
        seeded = desk.workflows.get(10)
        if seeded is not None and body.get("workflow", True):
            desk.workflows[10] = replace(seeded, always=(*seeded.always, outcome.id))
        return _made(outcome)

    async def add_field(self, request: Request) -> Response:
        """`{name, label, kind, values, types}`; `types` are the names of the ticket types that show it."""
        desk, body = self.world.desk, await object_of(request)
        added = CustomField(
            _id(body, desk.fields),
            str(body["name"]),
            str(body.get("label", body["name"])),
            tuple(str(one) for one in body.get("values") or ()),
            str(body.get("kind", "")),
        )
        types = [desk.type_named(str(name)) for name in body.get("types") or ()]
        desk.fields[added.id] = added
        for one in types:
            desk.types[one.id] = replace(one, fields=(*one.fields, added.name))
        return _made(added)

    async def add_team(self, request: Request) -> Response:
        desk, body = self.world.desk, await object_of(request)
        team = Team(_id(body, desk.teams), str(body["name"]), inactive=bool(body.get("inactive")))
        desk.teams[team.id] = team
        return _made(team)

    async def add_agent(self, request: Request) -> Response:
        desk, body = self.world.desk, await object_of(request)
        agent = Agent(
            _id(body, desk.agents),
            str(body["name"]),
            str(body.get("email", "")),
            tuple(desk.team_named(str(name)).name for name in body.get("teams") or ()),
            inactive=bool(body.get("inactive")),
        )
        desk.agents[agent.id] = agent
        return _made(agent)

    async def add_workflow(self, request: Request) -> Response:
        """`{name, steps: [{name, outcomes, statuses}], always}`: by name. A status leads into its step."""
        desk, body = self.world.desk, await object_of(request)
        steps = tuple(
            WorkflowStep(
                number,
                str(step.get("name", f"Step {number}")),
                _outcomes(desk, step.get("outcomes")),
                tuple(desk.status_named(str(name)).id for name in step.get("statuses") or ()),
            )
            for number, step in enumerate(body["steps"], start=1)
        )
        if not steps:
            raise ValueError("a workflow has at least one step")
        workflow = Workflow(_id(body, desk.workflows), str(body["name"]), steps, _outcomes(desk, body.get("always")))
        desk.workflows[workflow.id] = workflow
        return _made(workflow)

    async def patch_type(self, request: Request) -> Response:
        """`{workflow, approval_process, reopened_status, closure_fields, fields, status_rules: [...]}`.

        The first three may be null. A rule is `{status, does, message}`; `does` is refuse, undo or ignore.
        """
        desk, body = self.world.desk, await object_of(request)
        before = desk.type_named(request.path_params["name"])
        changes: dict[str, Any] = {}
        if "workflow" in body:
            changes["workflow"] = _named_id(desk.workflows, body["workflow"])
        if "approval_process" in body:
            changes["approval_process"] = _named_id(desk.processes, body["approval_process"])
        if "reopened_status" in body:
            name = body["reopened_status"]
            changes["reopened_status"] = None if name is None else desk.status_named(str(name)).id
        for key in ("fields", "closure_fields"):
            if key in body:
                changes[key] = tuple(_known_field(desk, str(name)) for name in body[key])
        if "status_rules" in body:
            changes["status_rules"] = tuple(_rule(desk, one) for one in body["status_rules"])
        known = {"workflow", "approval_process", "reopened_status", "fields", "closure_fields", "status_rules"}
        if unknown := set(body) - known:
            raise ValueError(f"Unknown: {', '.join(sorted(unknown))}")
        desk.types[before.id] = replace(before, **changes)
        for ticket in desk.by_type.get(before.id, {}).values():
            ticket.workflow_step = 0 if "workflow" in changes else ticket.workflow_step
        return JSONResponse(_plain(asdict(desk.types[before.id])))

    async def add_process(self, request: Request) -> Response:
        """`{name, steps: [...]}`; see `_step` for a step."""
        desk, body = self.world.desk, await object_of(request)
        number = _id(body, desk.processes)
        steps = tuple(_step(desk, number * 10 + place, step) for place, step in enumerate(body["steps"], start=1))
        if not steps:
            raise ValueError("an approval process has at least one step")
        process = ApprovalProcess(number, str(body["name"]), steps)
        desk.processes[number] = process
        return _made(process)

    async def patch_process(self, request: Request) -> Response:
        """`{refused}`: 401, 403 or 404 for whoever reads its steps, 0 for nobody. `{automatic}`: on every step."""
        desk, body = self.world.desk, await object_of(request)
        process = desk.process_named(request.path_params["name"])
        refused = int(body.get("refused", process.refused))
        if refused not in DENIALS:
            raise ValueError(f"refused is one of {', '.join(map(str, DENIALS))}")
        steps = process.steps
        if "automatic" in body:
            automatic = frozenset(str(name) for name in body["automatic"])
            steps = tuple(replace(step, automatic=automatic) for step in steps)
        desk.processes[process.id] = replace(process, refused=refused, steps=steps)
        return JSONResponse(_plain(asdict(desk.processes[process.id])))

    # -- users --------------------------------------------------------------------------------------------------

    async def add_user(self, request: Request) -> Response:
        """`{client_id, name, email, azureoid, login, inactive, agent_id}`; an address may be had by several."""
        desk, body = self.world.desk, await object_of(request)
        contact = Contact(
            id=max(desk.contacts) + 1,
            client_id=desk.clients[int(body["client_id"])].id,
            name=str(body["name"]),
            email=str(body["email"]),
        )
        _change_user(contact, body)
        desk.contacts[contact.id] = contact
        return _made(contact)

    async def patch_user(self, request: Request) -> Response:
        contact = self.world.desk.contacts.get(request.path_params["id"])
        if contact is None:
            raise NotThere(f"user {request.path_params['id']}")
        _change_user(contact, await object_of(request))
        return JSONResponse(asdict(contact))


def _step(desk: Desk, number: int, body: Mapping[str, Any]) -> ApprovalStep:
    """`{name, awaiting, approved, rejected, none, approvers, cab, votes_to_accept, votes_to_reject, automatic, adhoc}`.

    Statuses by name; those left out are Awaiting Approval, Approved and Rejected. `cab` is `{id, name, members:
    [{email, mandatory}]}`.
    """

    def status(key: str, default: str) -> int:
        return desk.status_named(str(body.get(key, default))).id

    cab = body.get("cab")
    return ApprovalStep(
        number,
        str(body.get("name", f"Step {number}")),
        status("awaiting", "Awaiting Approval"),
        status("approved", "Approved"),
        status("rejected", "Rejected"),
        desk.status_named(str(body["none"])).id if body.get("none") else None,
        approvers=tuple(str(one) for one in body["approvers"]) if "approvers" in body else None,
        cab=Cab(
            int(cab.get("id", number)),
            str(cab.get("name", "Board")),
            tuple(Member(str(one["email"]), mandatory=bool(one.get("mandatory"))) for one in cab["members"]),
        )
        if cab
        else None,
        votes_to_accept=int(body.get("votes_to_accept", 0)),
        votes_to_reject=int(body.get("votes_to_reject", 0)),
        automatic=frozenset(str(one) for one in body.get("automatic", ())),
        adhoc=bool(body.get("adhoc")),
    )


def _rule(desk: Desk, body: Mapping[str, Any]) -> StatusRule:
    if body["does"] not in RULES:
        raise ValueError(f"does is one of {', '.join(RULES)}, not {body['does']!r}")
    return StatusRule(desk.status_named(str(body["status"])).id, str(body["does"]), str(body.get("message", "")))


def _outcomes(desk: Desk, names: Any) -> tuple[int, ...]:
    found = []
    for name in names or ():
        outcome = desk.outcome_named(str(name))
        if outcome is None:
            raise NotThere(f"outcome {name!r}")
        found.append(outcome.id)
    return tuple(found)


def _known_field(desk: Desk, name: str) -> str:
    if name not in {one.name for one in desk.fields.values()}:
        raise NotThere(f"custom field {name!r}")
    return name


def _named_id(records: Mapping[int, Workflow] | Mapping[int, ApprovalProcess], name: Any) -> int | None:
    if name is None:
        return None
    found = next((one.id for one in records.values() if str(name) in (one.name, str(one.id))), None)
    if found is None:
        raise NotThere(f"{name!r}; there is: {', '.join(one.name for one in records.values())}")
    return found


def _id(body: Mapping[str, Any], records: Mapping[int, object]) -> int:
    """The wanted id, else the next free one. An id that is taken is a mistake."""
    number = int(body.get("id") or max(records, default=0) + 1)
    if number in records:
        raise ValueError(f"the id {number} is taken")
    return number


USER_KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", str),
    "email": ("email", str),
    "azureoid": ("azure_id", lambda value: None if value is None else str(value)),
    "login": ("login", lambda value: None if value is None else str(value)),
    "inactive": ("inactive", bool),
    "agent_id": ("agent_id", lambda value: None if value is None else int(value)),
    "client_id": ("client_id", int),
}


def _change_user(contact: Contact, body: Mapping[str, Any]) -> None:
    if unknown := set(body) - set(USER_KEYS):
        raise ValueError(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(USER_KEYS)}")
    for key, value in body.items():
        attribute, read = USER_KEYS[key]
        setattr(contact, attribute, read(value))


def _made(record: Any) -> Response:
    return JSONResponse(_plain(asdict(record)), status_code=201)


def _plain(value: Any) -> Any:
    """The same with sets as sorted lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return sorted(value) if isinstance(value, frozenset) else value
