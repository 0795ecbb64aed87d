"""Deskbook keeps the contract of every `Psa`; below it, what only Deskbook does."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
import yaml
from deskbook import Deskbook
from fake_deskbook import ANNA, HUGO, PRIORITIES, RITA, FakeDeskbook, serve

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action
from connector.core.ports import Level, Push, Stance, StatusTarget
from connector.errors import ConfigError, PermanentError, PushRefused, TemporaryError, TicketGone
from tests.contracts.psa import PsaContract, SeenNote
from tests.fakes.world import SUBJECT, TENANT, World

HERE = Path(__file__).parent
KINDS = {Action.PASSWORD: "1", Action.MFA: "2", Action.BOTH: "3"}


class DeskbookDesk:
    """People at work in an imitated Deskbook; see `tests.contracts.psa.Desk`."""

    requester, approver = str(RITA["email"]), str(ANNA["email"])
    urgent, open_status = "Urgent", None

    def __init__(self, system: FakeDeskbook, url: str, push_key: str = "") -> None:
        self.system, self._url, self._push_key, self._key = system, url, push_key, system.key
        self.psa = self.again()

    def again(self, **section: Any) -> Deskbook:
        kept = {"kind": "deskbook", "url": self._url, "key": {"env": "KEY"}, "mapping": "deskbook.yaml"}
        if self._push_key:
            kept["push_key"] = {"env": "PUSH_KEY"}
        place = Place(folder=HERE, production=False, environ={"KEY": self._key, "PUSH_KEY": self._push_key})
        around = Surroundings(place=place, http=HttpSection(), clock=lambda: datetime.now(UTC))
        return Deskbook.from_config("desk", {**kept, **section}, around)

    def add_ticket(
        self, *, subject: str = "dana@contoso.com", action: Action = Action.PASSWORD, reason: str = ""
    ) -> str:
        return self.system.raise_ticket(KINDS[action], Account=subject, Why=reason, What="Both")

    def add_tickets(self, count: int) -> set[str]:
        return {self.add_ticket() for _ in range(count)}

    def add_other_ticket(self) -> str:
        return self.system.raise_ticket("9", Account="dana@contoso.com")

    def approve(self, ticket_id: str, *, comment: str = "") -> None:
        self.system.vote(ticket_id, words=comment)

    def reject(self, ticket_id: str, *, comment: str = "") -> None:
        self.system.vote(ticket_id, yes=False, words=comment)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self.system.set_field(ticket_id, "Account", text)

    def retype(self, ticket_id: str) -> None:
        self.system.set_kind(ticket_id, "9")

    def close(self, ticket_id: str) -> None:
        self.system.set_status(ticket_id, "4")

    def ask_retry(self, ticket_id: str) -> None:
        self.system.set_status(ticket_id, "3")

    def delete(self, ticket_id: str) -> None:
        self.system.tickets[ticket_id].deleted = True

    def write_as_person(self, ticket_id: str, text: str) -> None:
        self.system.tickets[ticket_id].notes.append({"text": text, "public": False, "ref": "", "minutes": 0})

    def notes(self, ticket_id: str) -> list[SeenNote]:
        return [SeenNote(one["text"], one["public"]) for one in self.system.tickets[ticket_id].notes if one["ref"]]

    def status(self, ticket_id: str) -> str:
        return str(self.system.tickets[ticket_id].whole()["status"]["name"])

    def closed_status(self) -> str:
        return "Done"

    def hand_off_status(self) -> str:
        return "Needs a person"

    def alarm_status(self) -> str:
        return "Alarm"

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> Deskbook:
        mapping = yaml.safe_load((HERE / "deskbook.yaml").read_text(encoding="utf-8"))
        mapping["statuses"] |= {**({} if status else {"alarm": None}), **({} if hand_off else {"hand_off": None})}
        mapping["alarm"] = mapping["alarm"] if urgent else {}
        with TemporaryDirectory() as folder:
            (Path(folder) / "deskbook.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
            return self.again(mapping=f"{folder}/deskbook.yaml")

    def priority(self, ticket_id: str) -> str:
        return PRIORITIES[self.system.tickets[ticket_id].priority]

    def changes(self, ticket_id: str) -> int:
        return self.system.tickets[ticket_id].revision

    def forbid_reopening(self) -> None:
        self.system.keeps_closed = True

    def tick(self) -> None:
        self.system.tick()

    def go_down(self) -> None:
        self.system.down = True

    def come_up(self) -> None:
        self.system.down = False

    def refuse(self) -> None:
        self.system.key = secrets.token_hex(16)

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        self.system.loses = {"note": "POST", "move": "PATCH"}[to]


@pytest.fixture
def desk() -> Iterator[DeskbookDesk]:
    system = FakeDeskbook(secrets.token_hex(16))
    server = serve(system)
    yield DeskbookDesk(system, f"http://127.0.0.1:{server.server_port}", secrets.token_hex(16))
    server.shutdown()
    server.server_close()


class TestContract(PsaContract):
    """Pages hold 50 rows, so the default of 130 tickets is three of them."""


# -- what only Deskbook does: one test for each fact that could make a no, or an unknown, look like a yes


def test_everybody_who_is_asked_must_say_yes(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.tickets[ticket].asked = [ANNA, HUGO]
    desk.approve(ticket)
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert [person.name for person in reading.approvers] == ["Hugo"]
    desk.system.vote(ticket, by=HUGO)
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED


def test_the_vote_of_somebody_who_is_not_asked_counts_for_nothing(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.vote(ticket, by=HUGO)
    assert desk.psa.read(ticket).approval.decisions == ()


def test_a_vote_entered_in_an_approvers_place_is_no_yes(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.vote(ticket, entered_by=HUGO)
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "in an approver's place" in reading.reason


def test_a_withdrawn_yes_is_none(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.vote(ticket)["withdrawn"] = True
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING


def test_after_a_withdrawn_no_an_earlier_yes_does_not_count_again(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    desk.system.vote(ticket, yes=False)["withdrawn"] = True
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING


@pytest.mark.parametrize("word", [None, "true", "yes", 1])
def test_a_vote_that_is_neither_yes_nor_no_is_none(desk: DeskbookDesk, word: object) -> None:
    ticket = desk.add_ticket()
    desk.system.vote(ticket, yes=word)
    reading = desk.psa.read(ticket).approval
    assert (reading.stance, reading.decisions) == (Stance.PENDING, ())


def test_where_nobody_is_asked_nothing_is_approved(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.tickets[ticket].asked = []
    desk.approve(ticket)
    assert desk.psa.read(ticket).approval.stance is Stance.NONE


def test_whoever_logged_a_ticket_is_told_to_the_guard(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.tickets[ticket].logged_by = HUGO
    assert [person.name for person in desk.psa.read(ticket).also_not_approvers] == ["Hugo"]


def test_a_merged_ticket_is_gone(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.tickets[ticket].merged_into = desk.add_ticket()
    with pytest.raises(TicketGone):
        desk.psa.read(ticket)


@pytest.mark.parametrize("part", ["vote", "history", "status", "created"])
def test_a_ticket_of_another_shape_is_not_guessed_at(desk: DeskbookDesk, part: str) -> None:
    ticket = desk.add_ticket()
    desk.approve(ticket)
    answer = desk.system.tickets[ticket].whole()
    answer[part] = "2026-11-22T10:00:00"  # a time without a zone, and no shape for the others
    desk.system.tickets[ticket].whole = lambda: answer  # type: ignore[method-assign]
    with pytest.raises(TemporaryError, match="not known here"):
        desk.psa.read(ticket)


def test_a_status_that_is_taken_and_not_set_is_told(desk: DeskbookDesk) -> None:
    ticket = desk.add_ticket()
    desk.system.ignores_moves = True
    with pytest.raises(PermanentError, match="did not set it"):
        desk.psa.move(ticket, StatusTarget.CLOSED)
    with pytest.raises(PermanentError, match=f"did not set it.*open ticket {ticket} again in Deskbook now"):
        desk.psa.move(ticket, StatusTarget.ALARM)


def test_an_idle_poll_is_one_call(desk: DeskbookDesk) -> None:
    desk.add_tickets(200)
    for _ in range(150):
        desk.tick()
    cursor = desk.psa.changed(None).cursor
    desk.system.calls.clear()
    assert desk.psa.changed(cursor).tickets == ()
    assert len(desk.system.calls) == 1


def test_rights_that_are_missing_or_too_many_are_told(desk: DeskbookDesk) -> None:
    desk.system.rights = ["read", "note", "delete"]
    levels = {finding.text: finding.level for finding in desk.psa.check()}
    assert levels["The key may not move."] is Level.ERROR
    assert levels["The key may delete, and need not."] is Level.WARNING


def test_a_push_names_its_ticket_if_it_proves_itself(desk: DeskbookDesk) -> None:
    key, body = desk._push_key, json.dumps({"ticket": 4242}).encode()
    proof = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    assert desk.psa.heard(Push(headers={"x-deskbook-proof": proof}, body=body)) == ("4242",)
    for headers in ({}, {"x-deskbook-proof": proof[:-1]}, {"x-deskbook-proof": "ä" * 64}):
        with pytest.raises(PushRefused):
            desk.psa.heard(Push(headers=headers, body=body))
    with pytest.raises(PushRefused):
        desk.psa.heard(Push(headers={"x-deskbook-proof": proof}, body=body + b" "))


@pytest.mark.parametrize(
    "wrong", ["hand_off: {team: Second line}", "alarm: {owner: Hugo}", "approval: {approved_statuses: [Done]}"]
)
def test_a_key_that_means_nothing_to_deskbook_is_refused(desk: DeskbookDesk, wrong: str, tmp_path: Path) -> None:
    mapping = yaml.safe_load((HERE / "deskbook.yaml").read_text(encoding="utf-8")) | yaml.safe_load(wrong)
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    with pytest.raises(ConfigError, match="Leave"):
        desk.again(mapping=str(tmp_path / "wrong.yaml"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Account}", "Acount}"),
        ('"MFA reset"', '"MFA rest"'),
        ('"Done"', '"Closed"'),
        ("field: What", "field: Which"),
        ('"Urgent"', '"Urgnt"'),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_what_does(
    desk: DeskbookDesk, right: str, wrong: str, tmp_path: Path
) -> None:
    kept = (HERE / "deskbook.yaml").read_text(encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(kept.replace(right, wrong), encoding="utf-8")
    findings = list(desk.again(mapping=str(tmp_path / "wrong.yaml")).check())
    assert [finding.level for finding in findings] == [Level.ERROR]
    what = {'"Done"': "status", '"MFA reset"': "kind", '"Urgent"': "priority"}.get(right, "field")
    assert f"there is no {what}" in findings[0].text
    assert "There is: " in findings[0].text


# -- a whole request, with the real reconciler, guard and mail templates


def world_with(desk: DeskbookDesk, *, approvers: frozenset[str]) -> World:
    world = World(tenants={"12": TENANT}, approvers=approvers)
    world.psas = {desk.psa.name: desk.psa}
    world.restart()
    desk.system.now = world.clock.now
    return world


def an_hour_later(desk: DeskbookDesk, world: World) -> None:
    world.clock.advance(hours=1)
    desk.system.now = world.clock.now


def test_an_approved_request_ends_with_a_password_and_a_closed_ticket(desk: DeskbookDesk) -> None:
    world = world_with(desk, approvers=frozenset({desk.approver}))
    ticket = desk.add_ticket(subject=SUBJECT)
    world.run()
    assert world.writes == []
    an_hour_later(desk, world)
    desk.approve(ticket, comment="known to me")
    world.run()
    password = world.open_newest_link()
    world.run()
    assert world.password_in_force() is password
    assert desk.status(ticket) == desk.closed_status()
    assert any("known to me" in note.text for note in desk.notes(ticket))
    assert world.bugs == []


@pytest.mark.parametrize("forgery", ["stranger", "in their place", "before a change", "not listed"])
def test_a_forged_approval_changes_nothing(desk: DeskbookDesk, forgery: str) -> None:
    listed = frozenset({"olga@msp.example.com" if forgery == "not listed" else desk.approver})
    world = world_with(desk, approvers=listed)
    ticket = desk.add_ticket(subject=SUBJECT)
    world.run()
    an_hour_later(desk, world)
    desk.system.vote(
        ticket,
        by=HUGO if forgery == "stranger" else ANNA,
        entered_by=HUGO if forgery == "in their place" else None,
    )
    if forgery == "before a change":
        desk.tick()
        desk.change_subject(ticket, "emil@contoso.example.com")
        desk.change_subject(ticket, SUBJECT)  # and back: between two polls only the history shows it
    an_hour_later(desk, world)
    world.run()
    assert (world.writes, world.links.made(), world.bugs) == ([], [], [])
    assert desk.status(ticket) != desk.closed_status()
