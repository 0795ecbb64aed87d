"""An approval process of HaloPSA that was stopped in the middle, and a status that somebody set by hand."""

from __future__ import annotations

import pytest

from connector.core.ports import Stance
from connector.psa.halopsa.people import read_user
from connector.psa.halopsa.values import moment
from connector.psa.halopsa.votes import read_vote
from tests.psa.test_halopsa_approval import a_yes, read, row


@pytest.mark.parametrize("process", [None, 0], ids=["left out", "zero"])
def test_a_process_that_was_stopped_after_its_first_step_is_no_yes(process: int | None) -> None:
    detail = a_yes()
    detail["approvers"] = []
    del detail["approval_process_id"]
    if process is not None:
        detail["approval_process_id"] = process
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "the step Security" in reading.reason
    detail["approvers_history"].append(row())
    assert read(detail).stance is Stance.APPROVED, "once it is through it is one"


@pytest.mark.parametrize("end_of_time", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_a_date_beyond_the_calendar_is_no_date_and_stops_no_poll(end_of_time: str) -> None:
    assert moment({"last_update": end_of_time}, "last_update") is None
    sooner = {"last_update": end_of_time, "dateoccurred": "2026-11-22T09:00:00"}
    assert moment(sooner, "last_update", "dateoccurred") is not None


@pytest.mark.parametrize(
    "borrowed", [" anna@contoso.com", "anna@contoso.com ", "anna@contoso.com\t", "anna@contoso.com\n"]
)
def test_an_address_with_a_blank_around_it_is_nobodys(borrowed: str) -> None:
    """Request Tracker lets two users share an address that way; nobody knows whether HaloPSA does."""
    said = {"ticket_id": 4242, "seq": 1, "actionnumber": 1, "user_id": 66, "name": "Bob", "emailaddress": borrowed,
           "result": 1, "dateapproved": "2026-11-22T09:00:00Z"}  # fmt: skip
    vote = read_vote(said, 4242, current=True)
    assert vote.person.email is None
    assert "mail:anna@contoso.com" not in vote.person.identities
    user = read_user({"id": 66, "emailaddress": borrowed, "login": borrowed})
    assert user is not None
    assert user.address == ""
