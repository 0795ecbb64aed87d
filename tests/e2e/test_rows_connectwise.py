"""What people see when things go wrong, at the imitated ConnectWise PSA."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import keep_to_the_contracts
from tests.e2e.rows import ALARM_PRIORITIES, LIFETIME, SECURITY_ALARM, Asked, Rows, RowsDesk, StageInTime

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TYPES = {"password": "Password Reset", "mfa": "MFA Reset", "both": "Account Reset"}
APPROVER = "anna@contoso.com"
PSA = ("connectwise",)


@dataclass
class ConnectWiseRowsDesk:
    """See `tests.e2e.rows.RowsDesk`."""

    stage: StageInTime
    requester: str = "ben@contoso.com"
    look_every: float = 0.05

    def ask(self, what: Asked, subject: str, *, reason: str = "") -> int:
        wish = {
            "type": TYPES[what],
            "requester": self.requester,
            "by": "contact",
            "subject": subject,
            "details": reason,
        }
        more = {"what": "Both"} if what == "both" else {}
        return int(self.stage.control("POST", "/connectwise/tickets", {**wish, **more})["id"])

    def approve(self, number: int, words: str = "") -> None:
        self._decide(number, "approve", words)

    def reject(self, number: int, words: str = "") -> None:
        self._decide(number, "deny", words)

    def _decide(self, number: int, word: str, words: str) -> None:
        self.stage.control("POST", f"/connectwise/tickets/{number}/{word}", {"actor": APPROVER, "comment": words})

    def notes(self, number: int) -> list[str]:
        written = self.stage.control("GET", f"/connectwise/tickets/{number}")["notes"]
        return [note["text"] for note in written if note["created_by"] == "ResetConnector"]

    def ended(self, number: int) -> bool:
        return bool(self.stage.control("GET", f"/connectwise/tickets/{number}")["status"] == "Closed")

    def alarmed(self, number: int) -> bool:
        ticket = self.stage.control("GET", f"/connectwise/tickets/{number}")
        return (ticket["status"], ticket["priority"]) == (SECURITY_ALARM, ALARM_PRIORITIES["connectwise.yaml"])

    def go_down(self) -> None:
        self.stage.control("POST", "/faults", {"system": "connectwise", "kind": "status", "status": 503, "times": 0})

    def come_up(self) -> None:
        self.stage.control("DELETE", "/faults")


class TestRowsConnectWise(Rows):
    @pytest.fixture(scope="class")
    @classmethod
    def desk(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        folder = tmp_path_factory.mktemp("rows")
        with StageInTime(folder, settings={"links": {"lifetime": LIFETIME}}, psas=PSA) as stage:
            stage.start_all()
            yield ConnectWiseRowsDesk(stage)
            keep_to_the_contracts(stage)

    @pytest.fixture(scope="class")
    @classmethod
    def desk_of_outages(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        with StageInTime(tmp_path_factory.mktemp("outages"), psas=PSA) as stage:
            stage.start_all()
            yield ConnectWiseRowsDesk(stage)
