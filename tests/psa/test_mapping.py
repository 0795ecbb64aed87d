"""The mapping file: what an admin may write, and what a mistake is answered with."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action
from connector.core.ports import StatusTarget, Timing
from connector.errors import ConfigError
from connector.psa.connectwise.adapter import ConnectWise
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.mapping import Named, PsaMapping, read_mapping, resolve, resolve_all
from connector.psa.requesttracker.adapter import RequestTracker
from connector.psa.requesttracker.mapping import RequestTrackerMapping

ROOT = Path(__file__).resolve().parents[2]

HALO = """
requests:
  - {ticket_type: "Password Reset", action: password, subject: {field: CFSubject}, reason: {field: details}}
  - {ticket_type: 26, action: {field: CFResetWhat, values: {"Password": password, "MFA": mfa}}, subject: {field: 174}}
approval: {approved_statuses: ["Approved"], rejected_statuses: ["Rejected"], approvers: listed}
statuses: {working: null, closed: "Closed", hand_off: "Needs technician", retry: "Retry reset"}
note_outcome: "Private Note"
"""


def read(tmp_path: Path, text: str, model: type[PsaMapping] = HaloMapping) -> PsaMapping:
    (tmp_path / "mapping.yaml").write_text(text, encoding="utf-8")
    return read_mapping(model, "mapping.yaml", Place(folder=tmp_path, production=True, environ={}))


def problems(tmp_path: Path, text: str, model: type[PsaMapping] = HaloMapping) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, model)
    return caught.value.problems


def test_the_mapping_that_we_ship_is_read() -> None:
    mapping = read_mapping(HaloMapping, "mappings/halopsa.yaml", Place(folder=ROOT, production=True, environ={}))
    assert [request.ticket_type for request in mapping.requests] == ["Password Reset", "MFA Reset", "Account Reset"]
    assert [request.action.always for request in mapping.requests] == [Action.PASSWORD, Action.MFA, None]
    assert mapping.requests[2].action.action_for("Both") is Action.BOTH
    assert mapping.requests[0].reason is not None
    assert mapping.requests[0].reason.field == "details"
    assert mapping.requests[1].reason is None
    assert mapping.approval.approved_statuses == ("Approved",)
    assert (mapping.approval.approvers.who, mapping.approval.approvers.minimum) == ("listed", 1)
    assert not mapping.approval.allow_override
    assert not mapping.approval.allow_auto_approval
    assert mapping.statuses.target(StatusTarget.WORKING) is None
    assert mapping.statuses.target(StatusTarget.CLOSED) == "Closed"
    assert mapping.statuses.target(StatusTarget.HAND_OFF) == "Needs technician"
    assert mapping.note_outcome == "Private Note"
    assert mapping.timing.as_timing() == Timing()


def test_ids_may_be_written_everywhere(tmp_path: Path) -> None:
    text = HALO.replace('"Approved"', "18").replace('"Closed"', "9").replace('"Private Note"', "7")
    mapping = read(tmp_path, text)
    assert isinstance(mapping, HaloMapping)
    assert mapping.requests[1].ticket_type == "26"
    assert mapping.requests[1].subject.field == "174"
    assert mapping.approval.approved_statuses == ("18",)
    assert mapping.statuses.closed == "9"
    assert mapping.note_outcome == "7"


def test_waits_are_read_with_their_unit(tmp_path: Path) -> None:
    mapping = read(tmp_path, HALO + "timing: {remind_after: 2h, reminders: 1, approval_valid: 30m}\n")
    assert mapping.timing.as_timing() == Timing(
        remind_after=timedelta(hours=2), reminders=1, approval_valid=timedelta(minutes=30)
    )


@pytest.mark.parametrize(
    ("written", "instead", "place"),
    [
        (
            'ticket_type: "Password Reset",',
            'ticket_type: "Password Reset", queue: Desk,',
            "requests.0.queue: unknown key",
        ),
        (
            'ticket_type: "Password Reset",',
            'ticket_type: "Password Reset", board: Desk,',
            "requests.0.board: unknown key",
        ),
        ('ticket_type: "Password Reset",', "", "requests.0.ticket_type: missing"),
        ("action: password,", "action: pasword,", "requests.0.action: 'pasword' is no action"),
        ("action: password,", "", "requests.0.action: missing"),
        ("action: password,", "action: {field: CFWhat},", "requests.0.action: write password, mfa or both"),
        ("subject: {field: CFSubject},", "", "requests.0.subject: missing"),
        ("note_outcome:", "note_outcom:", "note_outcom: unknown key. Did you mean note_outcome?"),
        ('approved_statuses: ["Approved"], ', "", "approval.approved_statuses: missing"),
        ('["Approved"]', "[]", "approval.approved_statuses"),
        ('["Rejected"]', '["approved"]', "cannot mean approved and rejected"),
        ("approvers: listed", "approvers: anybody", "approval.approvers"),
        ('retry: "Retry reset"', 'retry: "Needs technician"', "retry must be a status of its own"),
        ('closed: "Closed"', "closed: No", "statuses.closed: write a name in quotes"),
        ('closed: "Closed"', 'closed: " "', "statuses.closed: the name is empty"),
        ("ticket_type: 26", 'ticket_type: "password  reset"', "is mapped twice"),
        ('note_outcome: "Private Note"', 'note_outcome: "X"\ntiming: {remind_after: 4}', "timing.remind_after"),
        ('note_outcome: "Private Note"', 'note_outcome: "X"\ntiming: {give_up_after: 0s}', "timing.give_up_after"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, written: str, instead: str, place: str) -> None:
    assert written in HALO
    found = problems(tmp_path, HALO.replace(written, instead, 1))
    assert any(place in problem for problem in found), found
    assert all(problem.startswith("mapping.yaml") for problem in found)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, HALO.replace("action: password,", "").replace('"Private Note"', "no").replace('"Closed"', '""')
    )
    assert len(found) == 3


@pytest.mark.parametrize("always", ["allow_override", "allow_auto_approval"])
def test_looser_rules_have_to_be_asked_for(tmp_path: Path, always: str) -> None:
    mapping = read(tmp_path, HALO.replace("approvers: listed", f"approvers: psa, {always}: true"))
    assert getattr(mapping.approval, always) is True


def test_each_vendor_has_its_own_keys(tmp_path: Path) -> None:
    rt = """
requests:
  - {queue: "Service Desk", action: {field: "Request type", values: {"Password reset": password}},
     subject: {field: "Target user"}}
approval: {approvers: psa}
statuses: {closed: resolved}
"""
    mapping = read(tmp_path, rt, RequestTrackerMapping)
    assert isinstance(mapping, RequestTrackerMapping)
    assert mapping.requests[0].queue == "Service Desk"
    assert any(
        "note_outcome: unknown key" in problem
        for problem in problems(tmp_path, rt + "note_outcome: x\n", RequestTrackerMapping)
    )
    assert any(
        "allow_override" in problem
        for problem in problems(tmp_path, rt.replace("psa}", "psa, allow_override: true}"), RequestTrackerMapping)
    )
    assert any("requests.0.board: missing" in problem for problem in problems(tmp_path, HALO, ConnectWiseMapping))


def test_an_action_is_told_by_any_form_of_the_value_but_never_guessed(tmp_path: Path) -> None:
    mapping = read(tmp_path, HALO)
    source = mapping.requests[1].action
    assert source.action_for("1", " password ") is Action.PASSWORD
    assert source.action_for("mfa") is Action.MFA
    assert source.action_for("") is None
    assert source.action_for() is None
    assert source.action_for("Password", "MFA") is None


THINGS = (Named("9", "Closed"), Named("4", "9"), Named("5", "Waiting"), Named("6", "waiting"), Named("7", "Twin"),
          Named("8", "Twin"), Named("10", "CFSubject", ("Whose account?",)))  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "id_"),
    [
        ("Closed", "9"),
        ("closed ", "9"),
        ("9", "4"),
        ("5", "5"),
        ("Waiting", "5"),
        ("waiting", "6"),
        ("whose account?", "10"),
    ],
)
def test_a_name_is_found_exactly_before_it_is_found_roughly_before_it_is_taken_for_an_id(wanted: str, id_: str) -> None:
    assert resolve(wanted, THINGS, what="status", where="statuses.closed").id == id_


@pytest.mark.parametrize("wanted", ["Twin", "WAITING"])
def test_an_ambiguous_name_is_refused_with_the_ids(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"more than one status is called .* Write the id"):
        resolve(wanted, THINGS, what="status", where="statuses.closed")


def test_an_unknown_name_is_refused_with_the_list_of_what_exists() -> None:
    with pytest.raises(ConfigError, match=r"statuses\.closed: there is no status 'Closd'\. There is: .*Closed \(9\)"):
        resolve("Closd", THINGS, what="status", where="statuses.closed")
    with pytest.raises(ConfigError, match="none that we may see"):
        resolve("Closd", (), what="status", where="statuses.closed")


def test_many_names_are_resolved_with_all_problems_at_once() -> None:
    found, sentences = resolve_all({"a": "Closed", "b": "Twin", "c": "x"}, THINGS, what="status", where="mapping ")
    assert found["a"].id == "9"
    assert len(sentences) == 2
    assert sentences[0].startswith("mapping b: ")


@pytest.mark.parametrize("adapter", [HaloPsa, ConnectWise, RequestTracker])
@pytest.mark.parametrize("content", [None, "requests: [", "just words"])
def test_a_mapping_that_cannot_be_read_names_the_key_that_leads_to_it(
    tmp_path: Path, adapter: Any, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "wrong.yaml").write_text(content, encoding="utf-8")
    sections: dict[Any, dict[str, object]] = {
        HaloPsa: {"kind": "halopsa", "client_id": "x", "client_secret": {"env": "SECRET"}},
        ConnectWise: {
            "kind": "connectwise",
            "company": "msp",
            "public_key": "x",
            "private_key": {"env": "SECRET"},
            "client_id": "x",
        },
        RequestTracker: {"kind": "requesttracker", "token": {"env": "SECRET"}},
    }
    section = {**sections[adapter], "url": "https://psa.example.com", "mapping": "wrong.yaml"}
    place = Place(folder=tmp_path, production=True, environ={"SECRET": secrets.token_urlsafe(16)})
    around = Surroundings(place=place, http=HttpSection(), clock=lambda: datetime.now(UTC))
    with pytest.raises(ConfigError) as told:
        adapter.from_config("desk", section, around)
    (problem,) = told.value.problems
    assert problem.startswith(f"psa.desk.mapping: {tmp_path / 'wrong.yaml'}")
