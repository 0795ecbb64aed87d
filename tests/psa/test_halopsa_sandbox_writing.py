"""What HaloPSA's own rules do with our notes and moves, and its webhooks as they arrive, against the sandbox."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.ports import Level, Note, Push, StatusTarget
from connector.errors import ConfigError, PermanentError, PushRefused
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.mapping import HandOff
from sandbox.desk_records import StatusRule, Workflow, WorkflowStep
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import ROOT, MovableClock, shipped_mapping

PASSWORD_RESET = 25


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[World, Addresses, MovableClock]]:
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


@pytest.fixture
def desk(house: tuple[World, Addresses, MovableClock]) -> HaloDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return HaloDesk(world, addresses, clock)


# ---------------------------------------------------------------- rules of the customer's


def work_and_wait(desk: HaloDesk) -> None:
    """A workflow whose second step, for approved tickets, does not offer our outcome."""
    steps = (WorkflowStep(1, "Work", outcomes=(7,)), WorkflowStep(2, "Wait", outcomes=(8,), statuses=(32,)))
    desk.desk.workflows[10] = Workflow(10, "Resets", steps)


def test_a_workflow_that_forbids_the_outcome_is_told_by_check_and_by_the_refused_note(desk: HaloDesk) -> None:
    work_and_wait(desk)
    warnings = [one.text for one in desk.psa.check() if "workflow" in one.about and one.level is Level.WARNING]
    assert len(warnings) == 3  # one for each ticket type
    assert (
        "Resets of the ticket type Password Reset allows the outcome Private Note not in the step Wait" in warnings[0]
    )
    ticket = desk.add_ticket()
    desk.psa.add_note(ticket, Note("waiting", "c1-a"))
    desk.approve(ticket)
    with pytest.raises(PermanentError, match="outcome 'Private Note': allow it"):
        desk.psa.add_note(ticket, Note("done", "c1-b"))
    assert len(desk.notes(ticket)) == 1
    assert not desk.psa.has_note(ticket, "c1-b")


@pytest.mark.parametrize("does", ["refuse", "ignore"])
def test_a_rule_that_keeps_a_ticket_from_closing_is_told(desk: HaloDesk, does: str) -> None:
    desk.desk.types[PASSWORD_RESET] = replace(desk.desk.types[PASSWORD_RESET], status_rules=(StatusRule(9, does),))
    ticket = desk.add_ticket()
    with pytest.raises(PermanentError):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.status(ticket) == "Awaiting Approval"


def test_a_mandatory_field_that_keeps_a_ticket_from_closing_is_told(desk: HaloDesk) -> None:
    desk.desk.types[PASSWORD_RESET] = replace(desk.desk.types[PASSWORD_RESET], closure_fields=("CFClosureNote",))
    ticket = desk.add_ticket()
    with pytest.raises(PermanentError, match="mandatory field"):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    desk.raw(ticket).custom["CFClosureNote"] = "reset"
    assert desk.psa.move(ticket, StatusTarget.CLOSED)


def test_an_open_appointment_keeps_no_ticket_from_closing(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.raw(ticket).open_appointment = True
    assert desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.status(ticket) == "Closed"


# ---------------------------------------------------------------- hand-off, time, the past


def handing_off(team: str, owner: str) -> HaloMapping:
    return shipped_mapping().model_copy(update={"hand_off": HandOff(team=team, owner=owner)})


def test_a_hand_off_goes_to_the_team_and_the_owner(desk: HaloDesk) -> None:
    psa = desk.again(mapping=handing_off("second line", "toni@msp.example"))
    assert all(finding.level is not Level.ERROR for finding in psa.check())
    ticket = desk.add_ticket()
    assert psa.move(ticket, StatusTarget.HAND_OFF)
    assert (desk.raw(ticket).team, desk.raw(ticket).agent_id) == ("Second Line", 3)
    assert desk.status(ticket) == "Needs technician"
    assert psa.move(ticket, StatusTarget.HAND_OFF)


def test_a_team_or_owner_that_does_not_exist_stops_the_start(desk: HaloDesk) -> None:
    psa = desk.again(mapping=handing_off("Third Line", "Olaf Gone"))
    errors = [finding for finding in psa.check() if finding.level is Level.ERROR]
    assert [("Third Line" in one.text, "Olaf Gone" in one.text, one.temporary) for one in errors] == [
        (True, False, False),
        (False, True, False),
    ]


def test_time_stands_on_the_note_in_hours(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.add_note(ticket, Note("done", "c1-a", time_spent=timedelta(minutes=15)))
    (action,) = [action for action in desk.raw(ticket).actions if action.application]
    assert action.hours == 0.25


def test_the_past_is_listed_oldest_first_with_closed_tickets(desk: HaloDesk) -> None:
    tickets = [desk.add_ticket() for _ in range(120)]
    for age, ticket in enumerate(tickets):
        desk.desk.backdate(desk.raw(ticket), desk.clock() - timedelta(days=age))
    desk.close(tickets[3])
    found = [one.id for one in desk.psa.raised_since(desk.clock() - timedelta(days=30))]
    assert found == tickets[30::-1]


# ---------------------------------------------------------------- webhooks


@contextmanager
def listening() -> Iterator[tuple[str, queue.Queue[Push]]]:
    """Something that takes pushes, as the connector's HTTP side would."""
    came: queue.Queue[Push] = queue.Queue()

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.put(Push({name.lower(): value for name, value in self.headers.items()}, {}, body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/nudge/halo", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def configured(tmp_path: Path, desk: HaloDesk, *, push: dict[str, object] | None, secret: str) -> HaloPsa:
    (tmp_path / "halopsa.yaml").write_bytes((ROOT / "mappings" / "halopsa.yaml").read_bytes())
    section: dict[str, object] = {
        "kind": "halopsa",
        "url": desk.addresses.halo,
        "client_id": desk.world.credentials.halo_client_id,
        "client_secret": {"env": "HALO_SECRET"},
        "mapping": "halopsa.yaml",
        **({"push": push} if push else {}),
    }
    environ = {"HALO_SECRET": desk.world.credentials.halo_client_secret, "HALO_PUSH": secret}
    place = Place(folder=tmp_path, production=False, environ=environ)
    return HaloPsa.from_config("halo", section, Surroundings(place=place, http=HttpSection(), clock=desk.clock))


@pytest.mark.parametrize("payload", ["small", "full", "event", "batch"])
def test_a_webhook_of_every_kind_names_its_tickets(tmp_path: Path, desk: HaloDesk, payload: str) -> None:
    secret = secrets.token_urlsafe(24)
    psa = configured(tmp_path, desk, push={"username": "halo", "password": {"env": "HALO_PUSH"}}, secret=secret)
    with listening() as (url, came):
        control = f"{desk.addresses.control}/control"
        hook = {"url": url, "username": "halo", "password": secret, "payload": payload}
        requests.post(f"{control}/halo/webhooks", json=hook, timeout=10).raise_for_status()
        raised = {"type": "Password Reset", "subject": "dana@contoso.com", "requester": "ben@contoso.com"}
        answer = requests.post(f"{control}/tickets", json=raised, timeout=10)
        push = came.get(timeout=30)
    assert psa.heard(push) == (str(answer.json()["id"]),)
    with pytest.raises(PushRefused):
        psa.heard(Push({}, {}, push.body))
    assert configured(tmp_path, desk, push=None, secret=secret).heard(push) == ()


@pytest.mark.parametrize("username", ["", "ha:lo"])
def test_a_user_name_that_http_basic_cannot_carry_is_refused(tmp_path: Path, desk: HaloDesk, username: str) -> None:
    push: dict[str, object] = {"username": username, "password": {"env": "HALO_PUSH"}}
    with pytest.raises(ConfigError, match="without a colon"):
        configured(tmp_path, desk, push=push, secret=secrets.token_urlsafe(24))


def test_a_push_section_wants_a_secret_that_is_not_in_the_file(tmp_path: Path, desk: HaloDesk) -> None:
    secret = secrets.token_urlsafe(24)
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, desk, push={"username": "halo", "password": secret}, secret=secret)
    assert "push" in str(caught.value)
    assert secret not in str(caught.value)
