"""Request Tracker, against a real server of our own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.psa.requesttracker import RequestTracker
from tests.e2e.request_tracker import CONNECTOR, Desk, Server, request_tracker_or_skip, running_request_tracker
from tests.psa.requesttracker_desk import (
    STATUSES,
    Border,
    RequestTrackerContract,
    RequestTrackerDesk,
    wait_for_the_next_second,
)
from tests.psa.requesttracker_oddities import Build, Oddities, build_adapter

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


class OnARunningServer:
    @pytest.fixture
    def desk(self, server: Server) -> Desk:
        server.reset()
        return server.desk()

    @pytest.fixture
    def build(self, server: Server, tmp_path: Path) -> Build:
        def build(user: str | None = CONNECTOR, **changed: Any) -> RequestTracker:
            token = server.tokens[user] if user else secrets.token_urlsafe(24)
            return build_adapter(tmp_path, server.base_url, token, **changed)

        return build


class TestOddities(OnARunningServer, Oddities):
    pass


class TestContract(RequestTrackerContract):
    @pytest.fixture
    def desk(self, server: Server, tmp_path: Path) -> Iterator[RequestTrackerDesk]:
        server.reset()
        token = server.tokens[CONNECTOR]
        with Border(server.base_url).open() as border:
            yield RequestTrackerDesk(
                server.desk(),
                border,
                lambda: build_adapter(tmp_path, border.url, token, statuses=STATUSES),
                wait_for_the_next_second,
            )
