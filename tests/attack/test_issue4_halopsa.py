"""An approval process of HaloPSA that was stopped in the middle, and a status that somebody set by hand."""

from __future__ import annotations

import pytest

from connector.core.ports import Stance
from connector.psa.halopsa.values import moment
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
