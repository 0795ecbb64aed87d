"""Request Tracker, attacked: an approver's address in somebody else's hands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.core.case import fold
from connector.core.ports import Stance
from connector.psa.requesttracker.rest import read_person
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
