"""The adapter against the sandbox's ConnectWise: the contract, and what a whole life of a ticket costs and sends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action
from connector.core.ports import Level, Note, Stance, StatusTarget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError, TicketGone
from connector.psa.connectwise.adapter import ConnectWise, site_of
from sandbox.server import running
from sandbox.world import World
from tests.contract_check import check_all, specs_or_skip
from tests.contracts.psa import PsaContract
from tests.psa.connectwise_desk import ACCOUNT, CwDesk, House, open_desk
from tests.psa.connectwise_desk import house as make_house
from tests.psa.connectwise_make import changed_mapping
from tests.psa.halopsa_make import ROOT, MovableClock


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with make_house() as made:
        yield made


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


class TestConnectWise(PsaContract):
    many = 1100  # a page holds 1,000

    @pytest.fixture
    def desk(self, house: House) -> CwDesk:
        return open_desk(house)


class TestConnectWiseWithAField(PsaContract):
    """The same promises where a custom field carries the approval, and asked contacts decide."""

    many = 30

    @pytest.fixture
    def desk(self, house: House) -> CwDesk:
        rules = {
            "field": {"field": "Approval", "approved": ["Approved"], "rejected": ["Denied"], "pending": ["Pending"]},
            "approvers": "psa",
            "contact_types": ["Approver"],
        }
        return FieldDesk(*open_desk(house).parts, changed_mapping(approval=rules))


class FieldDesk(CwDesk):
    def decide(self, ticket_id: str, status: str, comment: str, by: str | None = None) -> None:
        who = by or self.approver
        if comment:
            self.desk.add_note(self.raw(ticket_id), self.actor(who), comment, discussion=True)
        self.set_field(ticket_id, 43, status, by=who)


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("waiting", [0, 10, 250])
def test_an_idle_poll_is_one_call_and_brings_nothing(desk: CwDesk, waiting: int) -> None:
    desk.add_tickets(waiting)
    cursor = desk.psa.changed(None).cursor
    desk.clock.forward(minutes=10)
    ticket = desk.add_ticket()
    cursor = desk.psa.changed(cursor).cursor
    desk.calls()
    for _ in range(3):
        desk.clock.forward(seconds=15)
        changes = desk.psa.changed(cursor)
        cursor = changes.cursor
        assert changes.tickets == ()
        assert desk.calls() == ["GET /service/tickets"]
    desk.approve(ticket)
    assert [one.id for one in desk.psa.changed(cursor).tickets] == [ticket]


def test_a_warm_reset_is_few_reads_and_few_calls_for_its_writes(desk: CwDesk) -> None:
    warm, ticket = desk.add_ticket(action=Action.BOTH), desk.add_ticket(action=Action.BOTH)
    for one in (warm, ticket):
        desk.approve(one, by="AnnaA")
    desk.psa.read(warm)
    desk.calls()
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED
    contact = f"/company/contacts/{desk.contact(desk.requester).id}"
    assert desk.calls() == [
        f"GET /service/tickets/{ticket}",
        f"GET {contact}",
        "GET /system/audittrail",
        f"GET /service/tickets/{ticket}/notes",
    ]
    desk.psa.add_note(ticket, Note("x", "m1"))
    desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.calls() == [
        f"POST /service/tickets/{ticket}/notes",
        f"GET /service/tickets/{ticket}",
        f"PATCH /service/tickets/{ticket}",
    ]


def test_a_waiting_ticket_costs_two_reads_once_its_approvers_are_known(desk: CwDesk) -> None:
    ticket = desk.add_ticket(action=Action.BOTH)
    desk.psa.read(ticket)
    desk.calls()
    desk.psa.read(ticket)
    assert len(desk.calls()) == 2


# ---------------------------------------------------------------- whole lives


def test_everything_sent_and_answered_in_a_whole_life_fits_the_vendors_description(desk: CwDesk) -> None:
    specs = specs_or_skip()
    mapping = changed_mapping(
        hand_off={"team": "Escalations", "owner": "OlgaO"},
        approval={**desk.psa._mapping.approval.model_dump(mode="json", exclude_defaults=True), "members": ["AnnaA"]},
    )
    psa = desk.again(mapping=mapping)
    assert all(finding.level is not Level.ERROR for finding in psa.check())
    psa.register_callback("http://127.0.0.1:9/nudge/cw")
    ticket, rejected = desk.add_ticket(reason="lost phone"), desk.add_ticket()
    cursor = psa.changed(None).cursor
    psa.read(ticket)
    desk.tick()
    desk.approve(ticket)
    desk.reject(rejected, comment="no")
    psa.changed(cursor)
    psa.raised_since(desk.clock.moment - timedelta(days=30))
    for one in (ticket, rejected):
        psa.read(one)
        note = Note("Recognised.", f"{one}-a", time_spent=timedelta(minutes=5))
        psa.add_note(one, note)
        assert psa.has_note(one, f"{one}-a")
        psa.move(one, StatusTarget.HAND_OFF)
        psa.move(one, StatusTarget.CLOSED)
    urgent = desk.for_alarms()
    assert all(finding.level is not Level.ERROR for finding in urgent.check())
    assert urgent.move(ticket, StatusTarget.ALARM)
    exchanges = [exchange.as_dict() for exchange in desk.world.record.exchanges if exchange.system == "connectwise"]
    asked = {(exchange["method"], exchange["template"]) for exchange in exchanges}
    assert asked >= {
        ("GET", "/service/tickets"),
        ("PATCH", "/service/tickets/{id}"),
        ("POST", "/service/tickets/{id}/notes"),
        ("GET", "/service/priorities"),
        ("GET", "/system/audittrail"),
        ("POST", "/time/entries"),
        ("POST", "/system/callbacks"),
    }
    assert check_all(specs, exchanges) == []


def test_every_call_names_the_pinned_version_and_the_integration(desk: CwDesk) -> None:
    desk.psa.read(desk.add_ticket())
    made = [one for one in desk.world.record.exchanges if "/apis/3.0/" in one.path]
    assert made
    for one in made:
        assert one.request_headers["accept"] == "application/vnd.connectwise.com+json; version=2026.4"
        assert "clientid" in one.request_headers


# ---------------------------------------------------------------- where it is


def test_after_an_upgrade_the_code_base_is_asked_for_once_and_nothing_is_lost(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.read(ticket)
    desk.desk.codebase = "v2026_2"
    desk.world.record.exchanges.clear()
    desk.psa.add_note(ticket, Note("x", "m"))
    desk.psa.read(ticket)
    assert len(desk.notes(ticket)) == 1
    asked = [one.path for one in desk.world.record.exchanges if "companyinfo" in one.path]
    assert asked == ["/login/companyinfo/msp"]


def test_an_address_out_of_an_answer_is_never_followed(desk: CwDesk) -> None:
    desk.desk.habits.link_host = "https://na.myconnectwise.net"
    added = desk.add_tickets(1010)
    assert {one.id for one in desk.psa.changed(None).tickets} == added


def test_agents_links_lead_to_the_site_and_not_to_the_api_host(desk: CwDesk) -> None:
    assert site_of("https://api-eu.myconnectwise.net") == "https://eu.myconnectwise.net"
    assert site_of("https://api-staging.connectwisedev.com") == "https://staging.connectwisedev.com"
    assert site_of("https://api-psa.msp.example:8443") == "https://api-psa.msp.example:8443"
    ticket = desk.add_ticket()
    url = desk.again(site_url="https://psa.msp.example").read(ticket).url
    assert url.startswith("https://psa.msp.example/")
    assert f"service_recid={ticket}" in url


# ---------------------------------------------------------------- which tickets


def test_a_merged_ticket_is_gone(desk: CwDesk) -> None:
    ticket, other = desk.add_ticket(), desk.add_ticket()
    desk.desk.merge(desk.raw(ticket), desk.raw(other), desk.actor("TinaT"))
    with pytest.raises(TicketGone, match=other):
        desk.psa.read(ticket)
    with pytest.raises(TicketGone):
        desk.psa.move(ticket, StatusTarget.HAND_OFF)
    assert desk.psa.read(other).mapped


def test_a_ticket_that_was_moved_to_another_board_is_none_of_ours(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.desk.set_board(desk.raw(ticket), 2, desk.actor("TinaT"))  # which has a type of that very name
    seen = desk.psa.read(ticket)
    assert (seen.mapped, seen.action, seen.subject_text, seen.approval.stance) == (False, None, "", Stance.NONE)
    with pytest.raises(PermanentError, match="board that the mapping does not name"):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    assert ticket not in {one.id for one in desk.psa.changed(None).tickets}


def test_one_ticket_that_we_may_not_see_is_gone_and_pauses_nothing(desk: CwDesk) -> None:
    hidden, other = desk.add_ticket(), desk.add_ticket()
    desk.psa.read(other)
    desk.delete(hidden)
    path = f"/{desk.desk.codebase}/apis/3.0/service/tickets/{hidden}"
    desk.desk.habits.forbidden = [f"GET {path}"]
    with pytest.raises(TicketGone):
        desk.psa.read(hidden)
    desk.desk.habits.forbidden = ["GET "]
    with pytest.raises(AuthenticationError, match="role"):
        desk.psa.read(other)


def test_past_tickets_are_told_oldest_first_closed_ones_too(desk: CwDesk) -> None:
    old = desk.add_ticket()
    desk.clock.forward(days=2)
    since = desk.clock.moment
    first = desk.add_ticket()
    desk.clock.forward(hours=1)
    second = desk.add_ticket(action=Action.MFA)
    desk.close(first)
    desk.add_other_ticket()
    assert [one.id for one in desk.psa.raised_since(since)] == [first, second]
    assert [one.id for one in desk.psa.raised_since(since - timedelta(days=3))] == [old, first, second]


# ---------------------------------------------------------------- who asks


def test_an_address_typed_into_the_ticket_makes_nobody_the_requester(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.raw(ticket).contact_id = None
    desk.raw(ticket).contact_email = "ben@contoso.com"
    assert desk.psa.read(ticket).requester is None


def test_a_contact_of_another_company_is_not_the_requester(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.raw(ticket).contact_id = desk.contact("fatima@fabrikam.com").id
    assert desk.psa.read(ticket).requester is None


def test_the_requesters_address_is_read_anew_each_time(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    assert desk.psa.read(ticket).requester is not None
    desk.contact(desk.requester).email = "ben.new@contoso.com"
    seen = desk.psa.read(ticket).requester
    assert seen is not None
    assert seen.email == "ben.new@contoso.com"


# ---------------------------------------------------------------- notes and time


def test_a_note_reads_the_same_when_its_lines_are_joined(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.add_note(ticket, Note("Recognised: dana\n\nWho: Ben\nThen done.", "m1"))
    assert desk.notes(ticket)[0].text == "Recognised: dana;\nWho: Ben;\nThen done.\n[ref m1]"


def test_a_note_notifies_nobody_and_goes_to_one_tab(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    for public in (False, True):
        desk.psa.add_note(ticket, Note("x", f"m-{public}", public=public))
    ours = [note for note in desk.raw(ticket).notes if note.created_by == "ResetConnector"]
    assert [(one.internal, one.discussion, one.resolution) for one in ours] == [
        (True, False, False),
        (False, True, False),
    ]
    assert not any(one.process_notifications for one in ours)


def test_a_note_is_found_among_more_than_a_page_of_them(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    for _ in range(1005):
        desk.write_as_person(ticket, "looked at it")
    desk.psa.add_note(ticket, Note("x", "last"))
    assert desk.psa.has_note(ticket, "last")
    assert not desk.psa.has_note(ticket, "first")


def test_without_a_name_of_its_own_a_note_of_any_api_member_is_ours(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    psa = desk.again(member=None)
    psa.add_note(ticket, Note("x", "m1"))
    desk.write_as_person(ticket, "x\n[ref m2]")
    assert (psa.has_note(ticket, "m1"), psa.has_note(ticket, "m2")) == (True, False)


def test_time_is_entered_once_a_note_whatever_is_lost(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    note = Note("Done.", "done-1", time_spent=timedelta(minutes=5))
    for match in ("(?i)POST .*/time/entries", "(?i)POST .*/notes"):
        desk.fault("cut_after", match)
        with pytest.raises(TemporaryError):
            desk.psa.add_note(ticket, note)
    assert desk.psa.has_note(ticket, "done-1")
    (entry,) = desk.desk.time_entries.values()
    assert (entry.ticket_id, entry.end - entry.start) == (int(ticket), timedelta(minutes=5))
    assert len(desk.notes(ticket)) == 1
    desk.psa.add_note(ticket, Note("Done.", "done-2", time_spent=timedelta(minutes=5)))
    assert len(desk.desk.time_entries) == 2


def test_time_that_may_not_be_entered_costs_no_note(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.desk.habits.forbidden = ["POST /time/entries"]
    desk.psa.add_note(ticket, Note("Done.", "done-1", time_spent=timedelta(minutes=5)))
    desk.psa.add_note(ticket, Note("Done.", "done-2", public=True, time_spent=timedelta(minutes=5)))
    private, public = desk.notes(ticket)
    assert "time could not be entered" in private.text
    assert "time" not in public.text
    assert desk.desk.time_entries == {}


def test_a_note_without_time_enters_none(desk: CwDesk) -> None:
    desk.psa.add_note(desk.add_ticket(), Note("x", "m"))
    assert desk.desk.time_entries == {}


# ---------------------------------------------------------------- moves


def test_a_hand_off_goes_to_the_mapped_team_and_owner_as_well(desk: CwDesk) -> None:
    psa = desk.again(mapping=changed_mapping(hand_off={"team": "Escalations", "owner": "Olga Owner"}))
    ticket = desk.add_ticket()
    for _ in range(2):
        assert psa.move(ticket, StatusTarget.HAND_OFF)
    assert (desk.raw(ticket).team_id, desk.raw(ticket).owner_id) == (32, 152)
    owner = desk.raw(ticket).owner_id
    psa.move(ticket, StatusTarget.CLOSED)
    assert desk.raw(ticket).owner_id == owner


def test_a_repeated_move_writes_nothing(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.move(ticket, StatusTarget.CLOSED)
    desk.calls()
    desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.calls() == [f"GET /service/tickets/{ticket}"]


def test_custom_fields_are_never_sent_nor_lost(desk: CwDesk) -> None:
    desk.desk.habits.custom_fields_left_out = "clear"
    ticket = desk.add_ticket()
    desk.psa.move(ticket, StatusTarget.CLOSED)
    sent = [one.request_body for one in desk.world.record.exchanges if one.method == "PATCH"]
    assert sent == [[{"op": "replace", "path": "status", "value": {"id": 508}}]]
    assert desk.raw(ticket).custom[ACCOUNT] == "dana@contoso.com"


def test_a_200_that_did_nothing_is_seen(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.read(ticket)
    desk.desk.habits.wrong_board_status = "ignore"
    before = desk.status(ticket)
    board = desk.desk.statuses[508]
    desk.desk.statuses[508] = board.__class__(**{**vars(board), "board_id": 2})
    with pytest.raises(PermanentError, match="status did not change"):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.status(ticket) == before


def test_a_refused_move_says_what_to_do_and_changes_nothing(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.psa.read(ticket)
    del desk.desk.statuses[508]
    before = desk.status(ticket)
    with pytest.raises(PermanentError, match=r"Look for required fields.*Close Service Tickets"):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    assert desk.status(ticket) == before


def test_a_role_that_may_not_close_is_told_and_pauses_nothing(desk: CwDesk) -> None:
    ticket = desk.add_ticket()
    desk.desk.habits.forbidden = ["PATCH "]
    with pytest.raises(PermanentError, match="Close Service Tickets") as caught:
        desk.psa.move(ticket, StatusTarget.CLOSED)
    assert not isinstance(caught.value, AuthenticationError)
    # No move at all is another matter: that concerns every ticket.
    with pytest.raises(AuthenticationError, match="role"):
        desk.psa.move(ticket, StatusTarget.HAND_OFF)
    assert desk.status(ticket) == "Waiting Approval"


# ---------------------------------------------------------------- built from the configuration


def make_config(tmp_path: Path, desk: CwDesk, **changes: object) -> ConnectWise:
    (tmp_path / "connectwise.yaml").write_bytes((ROOT / "mappings" / "connectwise.yaml").read_bytes())
    known = desk.world.credentials
    section = {
        "kind": "connectwise",
        "url": desk.addresses.connectwise,
        "company": known.connectwise_company,
        "public_key": known.connectwise_public_key,
        "private_key": {"env": "CW_KEY"},
        "client_id": known.connectwise_client_id,
        "mapping": "connectwise.yaml",
        **changes,
    }
    place = Place(folder=tmp_path, production=False, environ={"CW_KEY": known.connectwise_private_key})
    return ConnectWise.from_config("cw", section, Surroundings(place=place, http=HttpSection(), clock=desk.clock))


def test_it_is_built_from_the_configuration(tmp_path: Path, desk: CwDesk) -> None:
    psa = make_config(tmp_path, desk)
    assert (psa.name, psa.rules.approvers_listed) == ("cw", True)
    assert psa.read(desk.add_ticket()).mapped


def test_every_mistake_of_section_and_mapping_is_told_at_once(tmp_path: Path, desk: CwDesk) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            tmp_path, desk, private_key="in the clear", clientid="x", company="msp/../x", mapping="missing.yaml"
        )
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert "psa.cw: clientid: unknown key. Did you mean client_id?" in problems
    for word in ("private_key", "company", "missing.yaml"):
        assert word in problems
    assert "in the clear" not in problems


def test_a_share_that_allows_nothing_is_refused(tmp_path: Path, desk: CwDesk) -> None:
    with pytest.raises(ConfigError, match=r"psa\.cw.*share"):
        make_config(tmp_path, desk, budget={"share": "1%", "calls": 60, "per": "1m"})


# ---------------------------------------------------------------- an unkind day


@pytest.fixture
def unkind() -> Iterator[CwDesk]:
    """Some 429 and 503, answers lost after their effect; the same bad luck in every run."""
    clock = MovableClock()
    world = World(seed=7, now=clock)
    with running(world) as addresses:
        yield CwDesk(world, addresses, clock)


Result = TypeVar("Result")


def persist(call: Callable[[], Result]) -> Result:
    for _ in range(10):
        with contextlib.suppress(TemporaryError):
            return call()
    raise AssertionError("ten tries were not enough")


def test_on_an_unkind_day_every_ticket_is_told_and_every_note_stands_once(unkind: CwDesk) -> None:
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
        note = Note("Recognised.", f"{ticket}-a", time_spent=timedelta(minutes=1))

        def write(ticket: str = ticket, note: Note = note) -> None:
            if not unkind.psa.has_note(ticket, note.marker):
                unkind.psa.add_note(ticket, note)

        persist(write)
        assert persist(partial(unkind.psa.move, ticket, StatusTarget.CLOSED))
        assert len(unkind.notes(ticket)) == 1
        assert unkind.status(ticket) == "Closed"
    assert len(unkind.desk.time_entries) == 60
    assert {exchange.status for exchange in unkind.world.record.exchanges} & {None, 429, 503}
