"""What people see when things go wrong, at a real Request Tracker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.request_tracker import (
    ADMIN,
    LOOK_EVERY_SECONDS,
    ODD_QUEUE,
    QUEUE,
    REQUESTER,
    Desk,
    Server,
    address_of,
    at_request_tracker,
    request_tracker_or_skip,
    running_request_tracker,
)
from tests.e2e.rows import LIFETIME, Asked, Rows, RowsDesk, StageInTime

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KINDS = {"password": "Password reset", "mfa": "MFA reset", "both": "Password and MFA reset"}
ALARM_PRIORITY = 90
ENDED = ("resolved", "rejected")


@dataclass
class RequestTrackerRowsDesk:
    """See `tests.e2e.rows.RowsDesk`."""

    stage: StageInTime
    server: Server
    queue: str
    requester: str = address_of(REQUESTER)
    look_every: float = LOOK_EVERY_SECONDS

    @property
    def people(self) -> Desk:
        return self.server.desk()

    def ask(self, what: Asked, subject: str, *, reason: str = "") -> int:
        return int(self.people.request(KINDS[what], subject, reason=reason, queue=self.queue))

    def approve(self, number: int, words: str = "") -> None:
        self.people.approve(*self.people.approvals_of(str(number)), words=words)

    def reject(self, number: int, words: str = "") -> None:
        self.people.reject(*self.people.approvals_of(str(number)), words=words)

    def notes(self, number: int) -> list[str]:
        return [text for text in self.people.texts(str(number)) if "[connector ref=" in text]

    def ended(self, number: int) -> bool:
        return self.people.status(str(number)) in ENDED

    def alarmed(self, number: int) -> bool:
        ticket = self.people.done(ADMIN, "GET", f"/ticket/{number}")
        return (ticket["Status"], int(ticket["Priority"])) == ("stalled", ALARM_PRIORITY)

    def go_down(self) -> None:
        self.server.stop()

    def come_up(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


@contextmanager
def stage_at(server: Server, folder: Path, queue: str, **settings: object) -> Iterator[RowsDesk]:
    """A stage whose connector looks at one queue of the server."""
    with StageInTime(folder) as stage:
        mapping = {"alarm": {"priority": ALARM_PRIORITY}}
        at_request_tracker(stage, server, queue=queue, settings=settings, mapping=mapping)
        stage.start_links()
        stage.start_connector()
        yield RequestTrackerRowsDesk(stage, server, queue)


class TestRowsRequestTracker(Rows):
    @pytest.fixture(scope="class")
    @classmethod
    def desk(cls, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        with stage_at(server, tmp_path_factory.mktemp("rows"), QUEUE, links={"lifetime": LIFETIME}) as desk:
            yield desk

    @pytest.fixture(scope="class")
    @classmethod
    def desk_of_outages(cls, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsDesk]:
        # In a queue of its own: the other connector looks at the same server.
        with stage_at(server, tmp_path_factory.mktemp("outages"), ODD_QUEUE) as desk:
            yield desk
