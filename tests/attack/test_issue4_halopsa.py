"""An approval process of HaloPSA that was stopped in the middle, and a status that somebody set by hand."""

from __future__ import annotations

import pytest

from connector.core.ports import Stance
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
