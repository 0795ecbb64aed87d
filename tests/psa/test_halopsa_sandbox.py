"""The adapter against the sandbox's HaloPSA: the contract, and what a whole life of a ticket costs and sends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action
from connector.core.ports import Level, Note, Stance, StatusTarget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError, TicketGone
from connector.psa.halopsa.adapter import HaloPsa
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import check_all, specs_or_skip
from tests.contracts.psa import PsaContract
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import ROOT, MovableClock, shipped_mapping


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


class TestHaloPsa(PsaContract):
    @pytest.fixture
    def desk(self, house: tuple[World, Addresses, MovableClock]) -> HaloDesk:
        world, addresses, clock = house
        clock.moment = MovableClock().moment
        world.reset()
        return HaloDesk(world, addresses, clock)


def calls(desk: HaloDesk) -> list[str]:
    """Calls since the last look, without the names that are looked up once."""
    made = [f"{one.method} {one.template}" for one in desk.world.record.exchanges]
    desk.world.record.exchanges.clear()
    return [call for call in made if not call.endswith(("/tickettype", "/status", "/outcome", "/auth/token"))]


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("waiting", [0, 10, 250])
def test_an_idle_poll_is_one_call_and_brings_nothing(desk: HaloDesk, waiting: int) -> None:
    desk.add_tickets(waiting)
    cursor = desk.psa.changed(None).cursor
    # Whether `lastupdatefromdate` looks back over the tickets raised just now is a matter of minutes.
    desk.clock.forward(minutes=10)
    ticket = desk.add_ticket()
    cursor = desk.psa.changed(cursor).cursor
    calls(desk)
    for _ in range(3):
        desk.clock.forward(seconds=15)
        changes = desk.psa.changed(cursor)
        cursor = changes.cursor
        assert changes.tickets == ()
        assert calls(desk) == ["GET /api/tickets"]
    desk.approve(ticket)
    assert [one.id for one in desk.psa.changed(cursor).tickets] == [ticket]


def test_a_warm_reset_is_one_read_and_one_call_for_each_write(desk: HaloDesk) -> None:
    warm, ticket = desk.add_ticket(), desk.add_ticket()
    desk.approve(warm)
    desk.approve(ticket)
    desk.psa.read(warm)
    desk.psa.add_note(warm, Note("x", "m0"))
    calls(desk)
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED
    assert calls(desk) == ["GET /api/tickets/{id}"]
    desk.psa.add_note(ticket, Note("x", "m1"))
    desk.psa.move(ticket, StatusTarget.CLOSED)
    assert calls(desk) == ["POST /api/actions", "POST /api/tickets"]


# ---------------------------------------------------------------- whole lives


def test_everything_sent_and_answered_in_a_whole_life_fits_the_vendors_description(desk: HaloDesk) -> None:
    specs = specs_or_skip()
    assert all(finding.level is not Level.ERROR for finding in desk.psa.check())
    ticket, rejected = desk.add_ticket(action=Action.BOTH, reason="lost phone"), desk.add_ticket()
    cursor = desk.psa.changed(None).cursor
    desk.tick()
    desk.approve(ticket)
    desk.reject(rejected)
    desk.psa.changed(cursor)
    for one in (ticket, rejected):
        desk.psa.read(one)
        desk.psa.add_note(one, Note("Recognised.", f"{one}-a"))
        assert desk.psa.has_note(one, f"{one}-a")
        desk.psa.move(one, StatusTarget.HAND_OFF)
        desk.psa.move(one, StatusTarget.CLOSED)
    assert desk.for_alarms().move(ticket, StatusTarget.ALARM)
    by_hand = desk.add_ticket()
    desk.raw(by_hand).approvals.clear()
    desk.set_status(by_hand, "Approved")
    desk.psa.read(by_hand)  # approved without votes: the list of votes is asked, too
    exchanges = [exchange.as_dict() for exchange in desk.world.record.exchanges if exchange.system == "halo"]
    asked = {(exchange["method"], exchange["template"]) for exchange in exchanges}
    assert ("GET", "/api/ticketapproval") in asked
    assert ("POST", "/api/ticketapproval") not in asked
    assert check_all(specs, exchanges) == []


def test_the_approval_of_the_first_of_two_steps_is_no_yes(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process="Two-step reset approval")
    desk.approve(ticket)
    first = desk.psa.read(ticket).approval
    assert first.stance is Stance.PENDING
    assert first.approvers
    desk.approve(ticket)
    second = desk.psa.read(ticket).approval
    assert second.stance is Stance.APPROVED
    assert [decision.step for decision in second.decisions] == ["Manager", "Security"]


def test_a_status_set_by_hand_is_no_yes(desk: HaloDesk) -> None:
    pending, without = desk.add_ticket(), desk.add_ticket()
    desk.raw(without).approvals.clear()
    for ticket in (pending, without):
        desk.set_status(ticket, "Approved")
        reading = desk.psa.read(ticket).approval
        assert reading.stance is not Stance.APPROVED
        assert reading.reason


def test_an_agents_override_is_no_yes_unless_the_mapping_allows_it(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.desk.vote(desk.raw(ticket), approve=True, override_agent=min(desk.desk.agents))
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "allow_override" in reading.reason
    shipped = shipped_mapping()
    loose = shipped.model_copy(update={"approval": shipped.approval.model_copy(update={"allow_override": True})})
    allowed = desk.again(mapping=loose).read(ticket).approval
    assert allowed.stance is Stance.APPROVED
    assert allowed.decisions[0].overridden


def test_a_yes_given_before_a_hand_off_stays_readable_but_is_no_yes_in_another_status(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    before = desk.psa.read(ticket).approval
    desk.psa.move(ticket, StatusTarget.HAND_OFF)
    after = desk.psa.read(ticket).approval
    assert after.stance is Stance.PENDING
    assert (after.reason, after.approvers) == ("", ())
    assert after.decisions == before.decisions


def test_a_merged_ticket_is_gone(desk: HaloDesk) -> None:
    ticket, other = desk.add_ticket(), desk.add_ticket()
    desk.desk.merge(desk.raw(ticket), desk.raw(other))
    with pytest.raises(TicketGone):
        desk.psa.read(ticket)


def test_a_note_that_halopsa_does_not_allow_says_what_to_do_and_writes_nothing(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    mapping = shipped_mapping().model_copy(update={"note_outcome": "Escalate"})
    with pytest.raises(PermanentError, match="note_outcome"):
        desk.again(mapping=mapping).add_note(ticket, Note("x", "m"))
    assert desk.notes(ticket) == []


def test_a_dead_token_is_replaced_once_and_the_call_repeated(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.read(ticket)
    desk.world.halo_tokens.clear()
    desk.psa.add_note(ticket, Note("x", "m"))
    assert len(desk.notes(ticket)) == 1


def test_a_token_is_fetched_once_and_again_shortly_before_it_ends(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    for _ in range(3):
        desk.psa.read(ticket)
    assert len(desk.world.halo_tokens) == 1
    desk.clock.forward(seconds=desk.world.limits.halo_token_seconds - 30)
    desk.psa.read(ticket)
    assert len(desk.world.halo_tokens) == 2


# ---------------------------------------------------------------- check and configuration


def test_a_check_tells_every_wrong_name_at_once_with_what_exists(desk: HaloDesk) -> None:
    shipped = shipped_mapping()
    wrong = shipped.model_copy(
        update={
            "note_outcome": "Privat Note",
            "statuses": shipped.statuses.model_copy(update={"closed": "Shut"}),
            "approval": shipped.approval.model_copy(update={"approved_statuses": ("Aproved",)}),
            "requests": (
                shipped.requests[0].model_copy(update={"ticket_type": "Passwort Reset"}),
                shipped.requests[1].model_copy(
                    update={"subject": shipped.requests[1].subject.model_copy(update={"field": "CFSubjekt"})}
                ),
            ),
        }
    )
    psa = desk.again(mapping=wrong)
    errors = [finding for finding in psa.check() if finding.level is Level.ERROR]
    said = "\n".join(finding.text for finding in errors)
    assert len(errors) == 5
    for name in ("'Privat Note'", "'Shut'", "'Aproved'", "'Passwort Reset'", "'CFSubjekt'"):
        assert name in said
    assert "Closed (9)" in said
    assert "Private Note (7)" in said
    assert not any(finding.temporary for finding in errors)
    # At run time the same mistake pauses this PSA and no other.
    with pytest.raises(AuthenticationError, match="'Shut'") as caught:
        psa.changed(None)
    assert caught.value.scope == "psa.halo"


@pytest.mark.parametrize(("working", "wrong"), [("In Progress", True), ("Approved", False)])
def test_a_working_status_that_would_take_the_yes_away_is_refused(desk: HaloDesk, working: str, wrong: bool) -> None:
    shipped = shipped_mapping()
    mapping = shipped.model_copy(update={"statuses": shipped.statuses.model_copy(update={"working": working})})
    errors = [finding.text for finding in desk.again(mapping=mapping).check() if finding.level is Level.ERROR]
    assert bool(errors) is wrong
    assert all("statuses.working" in error for error in errors)


def test_trouble_that_may_pass_is_marked_so_that_it_stops_no_start(desk: HaloDesk) -> None:
    desk.go_down()
    assert [finding.temporary for finding in desk.psa.check()] == [True]
    desk.come_up()
    desk.refuse()
    (finding,) = desk.psa.check()
    assert finding.temporary
    assert "psa.halo.client_id" in finding.text


def make_config(tmp_path: Path, desk: HaloDesk, **changes: object) -> HaloPsa:
    (tmp_path / "halopsa.yaml").write_bytes((ROOT / "mappings" / "halopsa.yaml").read_bytes())
    section = {
        "kind": "halopsa",
        "url": desk.addresses.halo,
        "client_id": desk.world.credentials.halo_client_id,
        "client_secret": {"env": "HALO_SECRET"},
        "mapping": "halopsa.yaml",
        **changes,
    }
    environ = {"HALO_SECRET": desk.world.credentials.halo_client_secret}
    place = Place(folder=tmp_path, production=False, environ=environ)
    return HaloPsa.from_config("halo", section, Surroundings(place=place, http=HttpSection(), clock=desk.clock))


def test_it_is_built_from_the_configuration(tmp_path: Path, desk: HaloDesk) -> None:
    psa = make_config(tmp_path, desk)
    assert (psa.name, psa.rules.approvers_listed) == ("halo", True)
    assert psa.read(desk.add_ticket()).mapped


def test_addresses_and_tenant_may_be_set_apart(tmp_path: Path, desk: HaloDesk) -> None:
    psa = make_config(
        tmp_path,
        desk,
        url="http://127.0.0.1:9",
        api_url=f"{desk.addresses.halo}/api",
        auth_url=f"{desk.addresses.halo}/auth",
        tenant="msp",
    )
    assert psa.read(desk.add_ticket()).url.startswith("http://127.0.0.1:9/ticket?id=")
    asked = [one.query for one in desk.world.record.exchanges if one.path.endswith("token")]
    assert asked == [{"tenant": "msp"}]


def test_every_mistake_of_section_and_mapping_is_told_at_once(tmp_path: Path, desk: HaloDesk) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(tmp_path, desk, client_secret="in the clear", tennant="msp", mapping="missing.yaml")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    assert "psa.halo: tennant: unknown key. Did you mean tenant?" in problems
    assert "client_secret" in problems
    assert "missing.yaml" in problems
    assert "in the clear" not in problems


# ---------------------------------------------------------------- an unkind day


@pytest.fixture
def unkind() -> Iterator[HaloDesk]:
    """Rows on two pages, some 429 and 503, answers lost after their effect; the same bad luck in every run."""
    clock = MovableClock()
    world = World(seed=7, now=clock)
    with running(world) as addresses:
        yield HaloDesk(world, addresses, clock)


Result = TypeVar("Result")


def persist(call: Callable[[], Result]) -> Result:
    for _ in range(10):
        with contextlib.suppress(TemporaryError):
            return call()
    raise AssertionError("ten tries were not enough")


def test_on_an_unkind_day_every_ticket_is_told_and_every_note_stands_once(unkind: HaloDesk) -> None:
    added = unkind.add_tickets(250)
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(4):
        changes = persist(partial(unkind.psa.changed, cursor))
        cursor, told = changes.cursor, [ticket.id for ticket in changes.tickets]
        assert len(told) == len(set(told))
        seen |= set(told)
    assert seen == added
    for ticket in sorted(added)[:60]:
        note = Note("Recognised.", f"{ticket}-a")

        def write(ticket: str = ticket, note: Note = note) -> None:
            if not unkind.psa.has_note(ticket, note.marker):
                unkind.psa.add_note(ticket, note)

        persist(write)
        assert persist(partial(unkind.psa.move, ticket, StatusTarget.CLOSED))
        assert len(unkind.notes(ticket)) == 1
        assert unkind.status(ticket) == "Closed"
    assert any(exchange.status is None for exchange in unkind.world.record.exchanges), "no answer was lost"
