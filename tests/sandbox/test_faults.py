"""Bad days come when they are asked for, as they were asked for, and by chance only when not gentle."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
import requests

from sandbox.faults import Fault, Faults
from sandbox.halo_settings import paged
from sandbox.server import running
from sandbox.world import World
from tests.sandbox.conftest import DANA, Stage


def test_a_status_fault_answers_instead_and_only_so_often(stage: Stage) -> None:
    stage.fault("halo", "status", match="^GET /api/Status$", status=429, headers={"Retry-After": "3"}, times=2)
    answers = [stage.halo("GET", "Status") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert stage.control("GET", "faults") == []


def test_a_fault_hits_only_what_it_matches(stage: Stage) -> None:
    stage.fault("halo", "status", match="POST /api", status=503)
    assert stage.halo("GET", "Status").status_code == 200
    assert len(stage.control("GET", "faults")) == 1
    stage.control("DELETE", "faults")
    assert stage.control("GET", "faults") == []


@pytest.mark.parametrize(("kind", "effects"), [("cut_before", 0), ("cut_after", 1)])
def test_a_connection_is_cut_before_or_after_the_effect(stage: Stage, kind: str, effects: int) -> None:
    stage.fault("graph", kind, match="revokeSignInSessions")
    with pytest.raises(requests.ConnectionError):
        stage.graph("POST", f"users/{DANA}/revokeSignInSessions")
    assert stage.account(DANA)["writes"] == effects
    exchange = next(one for one in stage.control("GET", "exchanges?system=graph"))
    assert (exchange["status"], exchange["fault"]) == (None, kind)
    assert stage.graph("POST", f"users/{DANA}/revokeSignInSessions").status_code == 200


@pytest.mark.parametrize(("kind", "effects"), [("status", 0), ("status_after", 1)])
def test_a_gateway_answers_in_place_of_it_before_or_after_the_effect(stage: Stage, kind: str, effects: int) -> None:
    stage.fault("graph", kind, match="revokeSignInSessions", status=503, headers={"Retry-After": "1"})
    answer = stage.graph("POST", f"users/{DANA}/revokeSignInSessions")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert stage.account(DANA)["writes"] == effects


def test_cutting_one_connection_leaves_others_alone(stage: Stage) -> None:
    with requests.Session() as other:
        other.get(f"{stage.addresses.control}/control/calls", timeout=10)
        stage.fault("halo", "cut_before", match="Status")
        with pytest.raises(requests.ConnectionError):
            stage.halo("GET", "Status")
        assert other.get(f"{stage.addresses.control}/control/calls", timeout=10).ok


def test_an_answer_can_be_no_json_at_all(stage: Stage) -> None:
    stage.fault("halo", "not_json", match="Status")
    answer = stage.halo("GET", "Status")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    stage.fault("graph", "not_json", match="organization", status=502)
    assert stage.graph("GET", "organization").status_code == 502


def test_the_token_endpoint_can_fail_too(stage: Stage) -> None:
    stage.fault("authority", "status", match="token", status=503)
    assert [stage.graph_token().status_code for _ in range(2)] == [503, 200]


def test_a_slow_answer_comes_after_its_delay(stage: Stage) -> None:
    stage.halo("GET", "Status")
    stage.fault("halo", "slow", match="Status", delay=0.2)
    started = time.monotonic()
    assert stage.halo("GET", "Status").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_a_timeout_answers_nothing(stage: Stage) -> None:
    stage.fault("halo", "timeout", match="Tickets", delay=30)
    token = stage.halo_token().json()["access_token"]
    with pytest.raises(requests.ReadTimeout):
        stage.http.get(f"{stage.addresses.halo}/api/Tickets", headers={"Authorization": f"Bearer {token}"}, timeout=0.2)


def test_latency_is_added_to_every_answer(stage: Stage) -> None:
    stage.halo("GET", "Status")
    stage.control("POST", "latency", ms=100)
    started = time.monotonic()
    stage.halo("GET", "Status")
    stage.control("POST", "latency", ms=0)
    assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("wrong", [{"kind": "explode"}, {"system": "moon"}, {"match": "("}, {"colour": "red"}])
def test_a_fault_that_makes_no_sense_is_refused_in_words(stage: Stage, wrong: dict[str, str]) -> None:
    body = {"system": "halo", "kind": "slow"} | wrong
    answer = stage.http.post(f"{stage.addresses.control}/control/faults", json=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert stage.world.faults.waiting == []


def history(seed: int, *, calls: int = 400, gentle: bool = False) -> list[str | None]:
    faults = Faults(seed=seed, gentle=gentle)
    found = [faults.next_for("halo", "POST /api/actions") for _ in range(calls)]
    return [fault.kind if fault else None for fault in found]


def test_the_same_seed_brings_the_same_bad_luck() -> None:
    assert history(7) == history(7)
    assert history(7) != history(8)


def test_bad_luck_depends_on_the_call_and_not_on_what_others_do() -> None:
    faults = Faults(seed=7, gentle=False)
    found = []
    for _ in range(400):
        faults.next_for("graph", "GET /v1.0/organization")
        found.append(faults.next_for("halo", "POST /api/actions"))
    assert [fault.kind if fault else None for fault in found] == history(7)


def test_every_kind_of_bad_luck_happens_and_never_twice_running() -> None:
    kinds = history(7)
    assert {"status", "cut_after", "slow"} <= set(kinds)
    harsh = [kind in ("status", "cut_after") for kind in kinds]
    assert not any(first and second for first, second in pairwise(harsh))
    assert Counter(kinds)[None] > 300


def test_reads_are_never_cut_after_an_effect_by_chance() -> None:
    faults = Faults(seed=1, gentle=False)
    found = [faults.next_for("halo", "GET /api/tickets") for _ in range(500)]
    assert "cut_after" not in {fault.kind for fault in found if fault}


def test_gentle_means_no_bad_luck_but_targeted_faults_still_work() -> None:
    assert set(history(7, gentle=True)) == {None}
    faults = Faults(seed=7, gentle=True)
    faults.add(Fault("halo", "status"))
    assert faults.next_for("halo", "GET /x") is not None
    assert faults.next_for("halo", "GET /x") is None


def test_an_unkind_world_shows_a_ticket_on_two_pages() -> None:
    """The row is repeated, never lost."""
    world = World(seed=3, gentle=False)
    rows = [{"id": number} for number in range(10)]
    repeated = 0
    for _ in range(30):
        pages = [
            paged(world, "tickets", rows, {"pageinate": "true", "page_size": "4", "page_no": str(page)})["tickets"]
            for page in (1, 2, 3)
        ]
        seen = [row["id"] for page in pages for row in page]
        assert set(seen) == set(range(10))
        repeated += len(seen) > 10
    assert repeated


def test_whoever_retries_once_gets_through_an_unkind_world() -> None:
    world = World(seed=5, gentle=False)
    world.limits.halo_requests = 0
    refusals = 0
    with running(world) as addresses, requests.Session() as http:
        token = secrets.token_urlsafe()
        world.halo_tokens[token] = world.now() + timedelta(hours=1)
        for _ in range(150):
            for attempt in (1, 2):
                headers = {"Authorization": f"Bearer {token}"}
                answer = http.get(f"{addresses.halo}/api/Status", headers=headers, timeout=10)
                if answer.ok:
                    break
                assert attempt == 1
                assert answer.status_code in (429, 503)
                refusals += 1
    assert refusals
