"""The daemon's small HTTP side."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from connector.errors import ConfigError
from connector.inbound import Health, Inbound, create_app
from connector.telemetry import PASSES
from sandbox.stage import call, free_port, wait_for


class Daemon:
    """What the HTTP side asks."""

    def __init__(self) -> None:
        self.state = Health(True, {}, "")
        self.nudged: list[str] = []

    def nudge(self, name: str) -> bool:
        self.nudged.append(name)
        return name == "halo"

    def app(self) -> Starlette:
        return create_app(health=lambda: self.state, nudge=self.nudge)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def address(daemon: Daemon) -> Iterator[str]:
    port = free_port()
    inbound = Inbound(daemon.app(), host="127.0.0.1", port=port)
    inbound.start()
    url = f"http://127.0.0.1:{port}"
    wait_for("the first answer", lambda: _status("GET", f"{url}/healthz"))
    yield url
    inbound.stop()


def _status(method: str, url: str) -> int:
    from urllib.error import HTTPError

    try:
        call(method, url)
    except HTTPError as refusal:
        with refusal:
            return refusal.code
    except OSError:
        return 0
    return 200


def test_health_names_what_is_down_and_stays_well(daemon: Daemon, address: str) -> None:
    daemon.state = Health(True, {"psa.halo": "it is away"}, "by an administrator")
    assert call("GET", f"{address}/healthz") == {
        "status": "ok",
        "down": {"psa.halo": "it is away"},
        "paused": "by an administrator",
    }


def test_a_stuck_daemon_is_unwell(daemon: Daemon, address: str) -> None:
    daemon.state = Health(False, {}, "")
    assert _status("GET", f"{address}/healthz") == 503


def test_metrics_are_prometheus_text(address: str) -> None:
    PASSES.labels("done").inc()
    text = call("GET", f"{address}/metrics")
    assert "# TYPE connector_passes_total counter" in text
    assert 'connector_passes_total{result="done"}' in text


def test_a_nudge_names_a_psa_and_nothing_else_counts(daemon: Daemon, address: str) -> None:
    assert call("POST", f"{address}/nudge/halo", {"ticket": 1, "approved": True}) == {"status": "polling"}
    assert _status("POST", f"{address}/nudge/other") == 404
    assert _status("GET", f"{address}/nudge/halo") == 405
    assert daemon.nudged == ["halo", "other"]


def test_a_taken_port_is_a_sentence(daemon: Daemon) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"inbound.listen: 127.0.0.1:{port} cannot be used"):
            Inbound(daemon.app(), host="127.0.0.1", port=port).start()
