"""What people see when things go wrong, at the imitated HaloPSA."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import keep_to_the_contracts
from tests.e2e.rows import ALARM_PRIORITIES, LIFETIME, SECURITY_ALARM, Asked, Rows, RowsDesk, StageInTime

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TYPES = {"password": "Password Reset", "mfa": "MFA Reset", "both": "Account Reset"}
APPROVER = "anna@contoso.com"


@dataclass
class HaloRowsDesk:
    """See `tests.e2e.rows.RowsDesk`."""

    stage: StageInTime
    requester: str = "ben@contoso.com"
    look_every: float = 0.05

    def ask(self, what: Asked, subject: str, *, reason: str = "") -> int:
        more = {"what": "Both"} if what == "both" else {}
        return self.stage.raise_ticket(TYPES[what], subject, self.requester, details=reason, **more)

    def approve(self, number: int, words: str = "") -> None:
        self.stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER, "comment": words})

    def reject(self, number: int, words: str = "") -> None:
        self.stage.control("POST", f"/tickets/{number}/reject", {"approver": APPROVER, "comment": words})

    def notes(self, number: int) -> list[str]:
        written = [action["note"] for action in self.stage.ticket(number)["actions"] if action["application"]]
        return [html.unescape(re.sub(r"<[^>]*>", " ", note)) for note in written]

    def ended(self, number: int) -> bool:
        return bool(self.stage.ticket(number)["status"] == "Closed")

    def alarmed(self, number: int) -> bool:
        ticket = self.stage.ticket(number)
        wanted = (SECURITY_ALARM, ALARM_PRIORITIES["halopsa.yaml"], False)
        return (ticket["status"], ticket["priority"], ticket["closed"]) == wanted

    def go_down(self) -> None:
        self.stage.control("POST", "/faults", {"system": "halo", "kind": "status", "status": 503, "times": 0})

    def come_up(self) -> None:
        self.stage.control("DELETE", "/faults")


class TestRowsHaloPsa(Rows):
    @pytest.fixture(scope="class")
    @classmethod
    def desk(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        with StageInTime(tmp_path_factory.mktemp("rows"), settings={"links": {"lifetime": LIFETIME}}) as stage:
            stage.start_all()
            yield HaloRowsDesk(stage)
            keep_to_the_contracts(stage)

    @pytest.fixture(scope="class")
    @classmethod
    def desk_of_outages(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        with StageInTime(tmp_path_factory.mktemp("outages")) as stage:
            stage.start_all()
            yield HaloRowsDesk(stage)
