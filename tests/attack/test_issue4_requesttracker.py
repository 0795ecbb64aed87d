"""Request Tracker, attacked: an approver's address in somebody else's hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connector.core.case import fold
from connector.core.ports import Stance
from connector.psa.requesttracker.rest import read_person
from tests.e2e.request_tracker import (
    ADMIN,
    CONNECTOR,
    OTHER_APPROVER,
    Server,
    address_of,
    request_tracker_or_skip,
    running_request_tracker,
)
from tests.e2e.request_tracker import APPROVER as APPROVER_NAME
from tests.psa.requesttracker_oddities import build_adapter
from tests.psa.test_requesttracker_approval import ANNA as APPROVER
from tests.psa.test_requesttracker_approval import Lines, read

ANNA = "anna.approver@contoso.example"


@pytest.mark.parametrize("said", [f" {ANNA}", f"{ANNA} ", f"{ANNA}\t", f"{ANNA}\n", f"\t {ANNA.upper()}", "  "])
@pytest.mark.parametrize("name", ["hanna.helpdesk", "hanna@contoso.example"])
def test_an_address_with_blanks_around_it_is_not_the_approvers(name: str, said: str) -> None:
    """RT 5.0.3 took each of the first four from a user with the right ModifySelf, beside Anna's own."""
    person = read_person({"id": name, "EmailAddress": said})
    assert person.email is None
    assert f"mail:{fold(ANNA)}" not in person.identities
    assert f"rt.user:{name}" in person.identities


@pytest.mark.parametrize("anyone", [True, False])
def test_an_approver_without_an_address_may_be_the_accounts_owner(anyone: bool) -> None:
    """Where RT itself names the approvers, only the address tells that somebody approved a reset of their own."""
    nameless = replace(APPROVER, email=None)
    assert read(Lines().asked().decided(by=APPROVER), anyone=anyone).stance is Stance.APPROVED
    reading = read(Lines().asked().decided(by=nameless), anyone=anyone)
    assert reading.stance is Stance.NONE
    assert "their own account" in reading.reason


def test_an_address_as_it_should_be_is_the_users() -> None:
    assert read_person({"id": "anna", "EmailAddress": ANNA}).email == ANNA
    assert read_person({"id": ANNA, "EmailAddress": ""}).email == ANNA


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


@pytest.mark.e2e
@pytest.mark.parametrize("said", [" {}", "{} ", "{}\t", "{}\n"])
def test_a_real_rt_gives_two_users_one_address_and_only_its_true_owner_has_it(
    server: Server, tmp_path: Path, said: str
) -> None:
    """Bob, who may decide approvals, gives himself Anna's address. (Anybody with ModifySelf may; here root does it.)"""
    server.reset()
    desk, theirs = server.desk(), address_of(APPROVER_NAME)
    answer = desk.done(ADMIN, "PUT", f"/user/{OTHER_APPROVER}", {"EmailAddress": theirs.upper()})
    assert "in use" in str(answer), "RT knows that it is another user's"
    answer = desk.done(ADMIN, "PUT", f"/user/{OTHER_APPROVER}", {"EmailAddress": said.format(theirs)})
    assert "changed" in str(answer)
    ticket = desk.request("Password reset", "dana@contoso.com")
    desk.approve(*desk.approvals_of(ticket), by=OTHER_APPROVER)
    reading = build_adapter(tmp_path, server.base_url, server.tokens[CONNECTOR]).read(ticket).approval
    assert reading.stance is not Stance.APPROVED
    assert [one for one in reading.decisions if f"mail:{theirs}" in one.approver.identities] == []
