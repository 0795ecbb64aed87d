"""`connector check` for ConnectWise: what it says about right and wrong configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import ValidationError

from connector.core.ports import Finding, Level
from connector.errors import AuthenticationError
from connector.psa.connectwise.adapter import CallbackSection, ConnectWise, ConnectWiseSection
from tests.psa.connectwise_desk import CwDesk, House, open_desk
from tests.psa.connectwise_desk import house as make_house
from tests.psa.connectwise_make import changed_mapping, make_api, make_psa
from tests.psa.halopsa_make import ROOT

PASSWORD = {"board": "Service Desk", "ticket_type": "Password Reset", "action": "password"}
SUBJECT = {"subject": {"field": "Reset account"}}
STATUSES = {"closed": "Closed", "hand_off": "Needs technician", "retry": "Retry reset"}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with make_house() as made:
        yield made


@pytest.fixture
def desk(house: House) -> CwDesk:
    return open_desk(house)


def said(psa: ConnectWise, level: Level) -> list[Finding]:
    return [finding for finding in psa.check() if finding.level is level]


def texts(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.about}: {finding.text} {finding.todo}" for finding in findings)


# ---------------------------------------------------------------- all well


def test_a_right_configuration_with_a_decided_ticket_leaves_only_the_callback_to_say(desk: CwDesk) -> None:
    desk.approve(desk.add_ticket())
    warnings = said(desk.psa, Level.WARNING)
    assert [finding.about for finding in warnings] == ["psa.cw.callback"]
    assert "connector psa register-callback cw --url" in warnings[0].todo
    assert said(desk.psa, Level.ERROR) == []
    desk.psa.register_callback("http://127.0.0.1:9/nudge/cw")
    assert said(desk.psa, Level.WARNING) == []
    good = texts(said(desk.psa, Level.OK))
    for words in ("hosted by ConnectWise", "accepts the keys", "ResetConnector", "can be seen: 1.", "understood: 1."):
        assert words in good


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("wrong", ["connectwise_private_key", "connectwise_client_id", "connectwise_public_key"])
def test_wrong_keys_and_a_wrong_client_id_are_one_finding_that_names_all_four(desk: CwDesk, wrong: str) -> None:
    known = desk.world.credentials
    desk.world.credentials = replace(known, **{wrong: "another"})
    (finding,) = said(desk.psa, Level.ERROR)
    for key in ("psa.cw.company", "public_key", "private_key", "client_id"):
        assert key in finding.text
    assert finding.temporary


def test_a_wrong_company_is_told_before_the_keys_are_tried(desk: CwDesk) -> None:
    known = desk.world.credentials
    api = make_api(
        desk.addresses.connectwise,
        company="mps",
        public_key=known.connectwise_public_key,
        private_key=known.connectwise_private_key,
        client_id=known.connectwise_client_id,
    )
    (finding,) = said(make_psa(api, clock=desk.clock), Level.ERROR)
    assert finding.about == "psa.cw.url"
    assert "no company 'mps'" in finding.text
    assert not any("/apis/3.0" in one.path for one in desk.world.record.exchanges)


@pytest.mark.parametrize(
    ("member", "level", "words"),
    [
        (None, Level.WARNING, "every API member"),
        ("Nobody", Level.ERROR, "no member with the identifier 'Nobody'"),
        ("TinaT", Level.WARNING, "not marked as an API member"),
    ],
)
def test_which_member_we_are_is_looked_at(desk: CwDesk, member: str | None, level: Level, words: str) -> None:
    findings = [one for one in said(desk.again(member=member), level) if one.about == "psa.cw.member"]
    assert words in findings[0].text


# ---------------------------------------------------------------- names


def test_every_wrong_name_is_told_at_once_with_what_exists(desk: CwDesk) -> None:
    wrong = changed_mapping(
        requests=[
            {**PASSWORD, "ticket_type": "Passwort Reset", **SUBJECT},
            {**PASSWORD, "ticket_type": "MFA Reset", "subject": {"field": "Reset acount"}},
        ],
        approval={
            "approved_statuses": ["Aproved"],
            "approvers": "psa",
            "contact_types": ["Aprover"],
            "members": ["Ana"],
        },
        statuses={**STATUSES, "closed": "Shut"},
        hand_off={"team": "Escalation", "owner": "Olga"},
    )
    psa = desk.again(mapping=wrong)
    errors = said(psa, Level.ERROR)
    everything = texts(errors)
    for name in (
        "'Passwort Reset'",
        "'Reset acount'",
        "'Aproved'",
        "'Aprover'",
        "'Ana'",
        "'Shut'",
        "'Escalation'",
        "'Olga'",
    ):
        assert name in everything
    assert len(errors) == 8
    for existing in ("Password Reset (11)", "Reset account (41)", "Closed (508)", "Approver (2)", "AnnaA (153)",
                     "Escalations (32)", "(board Service Desk)"):  # fmt: skip
        assert existing in everything
    # At run time the same mistake pauses this PSA and no other.
    with pytest.raises(AuthenticationError, match="'Shut'") as caught:
        psa.changed(None)
    assert caught.value.scope == "psa.cw"


def test_a_wrong_board_is_told_with_the_boards_that_exist(desk: CwDesk) -> None:
    psa = desk.again(mapping=changed_mapping(requests=[{**PASSWORD, "board": "Servicedesk", **SUBJECT}]))
    (error,) = said(psa, Level.ERROR)
    assert "'Servicedesk'" in error.text
    assert "Service Desk (1)" in error.text


def test_a_status_must_exist_on_every_mapped_board_and_an_id_on_one(desk: CwDesk) -> None:
    boards = [{**PASSWORD, "board": board, **SUBJECT} for board in ("Service Desk", "Professional Services")]
    ids = {"approved_statuses": [504, 604], "rejected_statuses": ["Denied"]}
    good = changed_mapping(requests=boards, approval=ids)
    assert said(desk.again(mapping=good), Level.ERROR) == []
    one = changed_mapping(requests=boards, approval={**ids, "approved_statuses": [504, 999]})
    errors = texts(said(desk.again(mapping=one), Level.ERROR))
    assert "none of them is a status on the board Professional Services" in errors
    assert "no status with the id 999" in errors
    desk.desk.statuses.pop(605)
    assert "(board Professional Services): there is no status 'Denied'" in texts(
        said(desk.again(mapping=good), Level.ERROR)
    )


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ({"retry": "Approved"}, "statuses.retry"),
        ({"hand_off": "Approved"}, "statuses.hand_off"),
        ({"closed": "Denied"}, "statuses.closed"),
        ({"working": "In Progress"}, "statuses.working"),
        ({"retry": 508}, "statuses.retry"),
    ],
)
def test_a_status_with_two_meanings_is_refused(desk: CwDesk, statuses: dict[str, object], words: str) -> None:
    errors = said(desk.again(mapping=changed_mapping(statuses={**STATUSES, **statuses})), Level.ERROR)
    assert words in texts(errors)


def test_a_status_that_the_trail_could_not_tell_from_a_mapped_one_is_refused(desk: CwDesk) -> None:
    twin = desk.desk.statuses[504]
    desk.desk.statuses[599] = replace(twin, id=599, name='"approved".')
    assert "could not tell them apart" in texts(said(desk.psa, Level.ERROR))


def test_a_closed_status_that_does_not_close_is_told(desk: CwDesk) -> None:
    desk.desk.statuses[508] = replace(desk.desk.statuses[508], closed=False)
    assert "does not close" in texts(said(desk.psa, Level.WARNING))


# ---------------------------------------------------------------- rights, trail, approvers


@pytest.mark.parametrize(
    ("path", "about"),
    [
        ("/service/boards", "psa.cw.rights"),
        ("/service/tickets", "psa.cw.rights"),
        ("/company/contacts", "psa.cw.rights"),
        ("/system/members", "psa.cw.rights"),
        ("/system/audittrail", "psa.cw.approval"),
    ],
)
def test_a_right_that_is_missing_is_told_and_stops_no_start(desk: CwDesk, path: str, about: str) -> None:
    desk.add_ticket()
    base = f"/{desk.desk.codebase}/apis/3.0"
    desk.desk.habits.forbidden = [f"GET {path}", f"GET {base}{path}"]
    errors = said(desk.psa, Level.ERROR)
    assert about in {finding.about for finding in errors}
    assert all(finding.temporary for finding in errors if finding.about == about)


@pytest.mark.parametrize("path", ["/system/callbacks", "/system/userDefinedFields"])
def test_what_can_be_done_without_is_no_error(desk: CwDesk, path: str) -> None:
    desk.approve(desk.add_ticket())
    desk.desk.habits.forbidden = [f"GET {path}"]
    assert said(desk.psa, Level.ERROR) == []


def test_without_definitions_and_tickets_the_fields_could_not_be_looked_up(desk: CwDesk) -> None:
    desk.desk.habits.forbidden = ["GET /system/userDefinedFields"]
    assert "could not be looked up" in texts(said(desk.psa, Level.WARNING))


def test_a_trail_whose_wording_is_not_known_is_told_with_the_ticket(desk: CwDesk) -> None:
    desk.desk.habits.audit_wording = "new_only"
    ticket = desk.add_ticket()
    desk.approve(ticket)
    found = texts(said(desk.psa, Level.WARNING))
    assert f"ticket {ticket}, Status" in found
    assert "approval.trail.wordings" in found


def test_before_the_first_ticket_and_the_first_decision_the_trail_could_not_be_tried(desk: CwDesk) -> None:
    assert "could not be tried: there is no ticket" in texts(said(desk.psa, Level.WARNING))
    desk.add_ticket()
    assert "its wording could not be tried" in texts(said(desk.psa, Level.WARNING))


def test_a_contact_type_that_nobody_has_is_told(desk: CwDesk) -> None:
    rules = {"approved_statuses": ["Approved"], "contact_types": ["VIP"]}
    assert "No contact of any company" in texts(
        said(desk.again(mapping=changed_mapping(approval=rules)), Level.WARNING)
    )
    nobody = changed_mapping(approval={"approved_statuses": ["Approved"]})
    assert "approvers are not reminded" in texts(said(desk.again(mapping=nobody), Level.WARNING))


# ---------------------------------------------------------------- the mapping itself


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        ({}, "either approved_statuses, or field"),
        (
            {"approved_statuses": ["A"], "field": {"field": "X", "approved": ["A"]}},
            "either approved_statuses, or field",
        ),
        ({"field": {"field": "X", "approved": ["A"]}, "rejected_statuses": ["B"]}, "field.rejected"),
        ({"field": {"field": "X", "approved": ["A"], "rejected": ["a "]}}, "two meanings"),
        ({"approved_statuses": ["A"], "approvers": "psa"}, "names no approvers"),
        ({"approved_statuses": ["A"], "approvers": {"who": "listed", "minimum": 2}}, "minimum"),
    ],
)
def test_a_contradictory_approval_is_refused(approval: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        changed_mapping(approval=approval)


# ---------------------------------------------------------------- the guide


def flat(words: str) -> str:
    return " ".join(words.split())


def test_the_guide_shows_what_check_really_says_about_three_typical_mistakes(desk: CwDesk) -> None:
    guide = flat((ROOT / "docs" / "psa" / "connectwise.md").read_text(encoding="utf-8"))
    desk.approve(desk.add_ticket())
    known = desk.world.credentials
    api = make_api(
        desk.addresses.connectwise,
        company="mps",
        public_key=known.connectwise_public_key,
        private_key=known.connectwise_private_key,
        client_id=known.connectwise_client_id,
    )
    found = said(make_psa(api, clock=desk.clock), Level.ERROR)
    approval = {"approved_statuses": ["Aproved"], "rejected_statuses": ["Denied"], "contact_types": ["Approver"]}
    found += said(desk.again(mapping=changed_mapping(approval=approval)), Level.ERROR)
    desk.desk.habits.forbidden = ["GET /system/audittrail"]
    found += said(desk.psa, Level.ERROR)
    assert len(found) == 3
    for finding in found:
        shown = f"ERROR {finding.about}: {finding.text}" + (f" -> {finding.todo}" if finding.todo else "")
        assert flat(shown.replace(desk.addresses.connectwise, "https://api-eu.myconnectwise.net")) in guide


def test_the_guide_names_every_key_of_the_section() -> None:
    guide = (ROOT / "docs" / "psa" / "connectwise.md").read_text(encoding="utf-8")
    for key in (*ConnectWiseSection.model_fields, *CallbackSection.model_fields):
        assert f"{key}:" in guide or f"`{key}`" in guide, key
