"""Pushes, by real processes: HaloPSA's imitation sends its webhooks, and the connector polls every ten minutes only."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage, call, link_in, wait_for
from tests.e2e.conftest import SetUp, keep_to_the_contracts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parent.parent.parent
REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"
USERNAME = "halo"
FLOOD_SECONDS = 5.0
Pushing = Callable[..., Stage]


@pytest.fixture
def pushing(set_up: SetUp) -> Pushing:
    """Starts a stage whose connector wants pushes to prove themselves by HTTP Basic."""

    def start(*, poll_every: str = "10m", psas: tuple[str, ...] = ("halo",)) -> Stage:
        stage = set_up(all_parts=False, poll_every=poll_every)
        (stage.folder / "push.secret").write_text(secrets.token_urlsafe(24))
        path = stage.folder / "connector.yaml"
        settings = json.loads(path.read_text())
        settings["psa"]["halo"]["push"] = {"username": USERNAME, "password": {"file": "push.secret"}}
        if "cw" in psas:
            add_connectwise(stage, settings)
        path.write_text(json.dumps(settings))
        stage.start_links()
        stage.start_connector()
        # The first poll and the first sweep, after which nothing is asked for ten minutes.
        for poll in [f"{what}:{psa}" for what in ("psa", "sweep") for psa in psas]:
            line = f'connector_polls_total{{poll="{poll}",result="ok"}}'
            wait_for(f"the first {poll}", lambda line=line: metric(stage, line))
        return stage

    return start


def add_connectwise(stage: Stage, settings: dict[str, Any]) -> None:
    facts = stage.facts
    (stage.folder / "cw.secret").write_text(facts["connectwise_private_key"])
    mapping = (ROOT / "mappings" / "connectwise.yaml").read_text(encoding="utf-8")
    (stage.folder / "connectwise.yaml").write_text(mapping, encoding="utf-8")
    settings["psa"]["cw"] = {
        "kind": "connectwise",
        "url": facts["connectwise"],
        "company": facts["connectwise_company"],
        "public_key": facts["connectwise_public_key"],
        "private_key": {"file": "cw.secret"},
        "client_id": facts["connectwise_client_id"],
        "mapping": "connectwise.yaml",
    }
    for name, tenant in facts["tenants"].items():
        settings["tenants"][name]["clients"]["cw"] = tenant["companies"]


def nudge_url(stage: Stage, psa: str = "halo") -> str:
    return f"http://127.0.0.1:{stage.inbound_port}/nudge/{psa}"


def add_webhook(stage: Stage) -> None:
    password = (stage.folder / "push.secret").read_text()
    webhook = {"url": nudge_url(stage), "username": USERNAME, "password": password}
    stage.control("POST", "/halo/webhooks", webhook)


def asked(stage: Stage, system: str) -> list[str]:
    """Every call to a system so far, as `get /api/tickets/1001`."""
    return [f"{one['method']} {one['path']}".lower() for one in stage.control("GET", f"/exchanges?system={system}")]


def lists(stage: Stage, system: str) -> int:
    """How often a system's list of tickets was asked for."""
    endings = {"halo": "/api/tickets", "connectwise": "/service/tickets"}
    return sum(one.startswith("get ") and one.endswith(endings[system]) for one in asked(stage, system))


def push(stage: Stage, body: object, *, username: str = USERNAME, password: str) -> int:
    proof = base64.b64encode(f"{username}:{password}".encode()).decode()
    try:
        call("POST", nudge_url(stage), body, headers={"Authorization": f"Basic {proof}"})
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return 202


def metric(stage: Stage, line: str) -> float:
    text = str(call("GET", f"http://127.0.0.1:{stage.inbound_port}/metrics"))
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def ready_mails(stage: Stage, number: int) -> list[dict[str, Any]]:
    return [mail for mail in stage.mails(number) if link_in(mail)]


def test_a_request_is_carried_to_its_password_by_webhooks_alone(pushing: Pushing) -> None:
    stage = pushing()
    add_webhook(stage)
    number = stage.raise_ticket("Password Reset", "dana@contoso.com", REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(number))
    before = lists(stage, "halo")
    approved_at = time.monotonic()
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    wait_for("the link", lambda: ready_mails(stage, number))
    print(f"from approval to the mail with the link: {time.monotonic() - approved_at:.2f} s")
    assert lists(stage, "halo") == before, "a known ticket is read by itself"
    assert metric(stage, 'connector_pushes_total{psa="halo",result="taken"}') >= 2
    wait_for("the end of the pass", lambda: metric(stage, "connector_push_to_pass_seconds_count") >= 1)
    keep_to_the_contracts(stage)


def test_a_forged_push_changes_nothing_and_causes_no_call(pushing: Pushing) -> None:
    stage = pushing()
    password = (stage.folder / "push.secret").read_text()
    approved, other = (
        stage.raise_ticket("Password Reset", f"{name}@contoso.com", REQUESTER) for name in ("dana", "emil")
    )
    assert push(stage, {"object_id": approved}, password=password) == 202
    for number in (approved, other):
        wait_for("recognition", lambda number=number: has_rest(stage, number))
    stage.control("POST", f"/tickets/{approved}/approve", {"approver": APPROVER})
    unknown = stage.raise_ticket("Password Reset", "farid@contoso.com", REQUESTER)
    before, log = asked(stage, "halo"), stage.log("connector")

    word = secrets.token_urlsafe(24)
    for body in ({"object_id": approved}, {"object_id": unknown}, {}, [{"object_id": approved}] * 50):
        assert push(stage, body, password=word) == 401
        assert push(stage, body, username=word, password=password) == 401
    assert metric(stage, 'connector_pushes_total{psa="halo",result="refused"}') == 8

    # A true push of another ticket shows that whatever the forged ones had set going would be done by now.
    assert push(stage, {"object_id": other}, password=password) == 202
    wait_for("the look at the other one", lambda: len(asked(stage, "halo")) > len(before))
    wait_for("the end of that pass", lambda: metric(stage, "connector_push_to_pass_seconds_count") == 1)
    assert set(asked(stage, "halo")[len(before) :]) == {f"get /api/tickets/{other}"}
    assert stage.case(approved)["case"]["state"] == "waiting"
    assert stage.connector("show", str(unknown)).returncode == 1, "no case was opened"
    assert stage.control("GET", "/accounts/dana@contoso.com")["writes"] == 0
    told = stage.log("connector")[len(log) :]
    assert word not in told
    assert password not in told
    assert told.count("push_not_taken") == 1


def has_rest(stage: Stage, number: int) -> bool:
    """Whether its case waits for the approval and owes nobody anything."""
    if not stage.mails(number):
        return False
    case = stage.case(number)
    return case["case"]["state"] == "waiting" and not case["undelivered"]


def test_a_lost_push_is_caught_up_by_the_next_poll(pushing: Pushing) -> None:
    stage = pushing(poll_every="2s")
    add_webhook(stage)
    stage.control("POST", "/faults", {"system": "webhook", "kind": "lost", "times": 0})
    number = stage.raise_ticket("Password Reset", "dana@contoso.com", REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    wait_for("the link", lambda: ready_mails(stage, number))
    assert metric(stage, 'connector_pushes_total{psa="halo",result="taken"}') == 0


def test_connectwises_signed_callbacks_carry_a_request_and_forged_ones_do_nothing(pushing: Pushing) -> None:
    stage = pushing(psas=("halo", "cw"))
    for words in ("is registered", "is registered already"):
        done = stage.connector("psa", "register-callback", "cw", "--url", nudge_url(stage, "cw"))
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    assert len(stage.control("GET", "/connectwise/callbacks")) == 1

    wish = {"type": "Password Reset", "requester": REQUESTER, "subject": "dana@contoso.com"}
    number = stage.control("POST", "/connectwise/tickets", wish)["id"]
    wait_for("the confirmation", lambda: stage.mails(number))
    wait_for("the end of that pass", lambda: has_rest(stage, number))
    calls, looks = asked(stage, "connectwise"), metric(stage, "connector_push_to_pass_seconds_count")
    for forged in ("bad_signature", "no_signature", "foreign_key", "other_company", "not_json"):
        # Well signed, but with a key of somebody else's server: the sandbox's console, where such a path leads nowhere.
        key = f"{stage.facts['control']}/v2025_1/system/callbackkey/index.rails?companyName=x&id=1"
        body = {"ticket": number, "forged": forged, "key_url": key if forged == "foreign_key" else ""}
        stage.control("POST", "/connectwise/deliveries", body)
    refused = 'connector_pushes_total{psa="cw",result="refused"}'
    wait_for("the answers to the forged ones", lambda: metric(stage, refused) >= 5)
    caused = asked(stage, "connectwise")[len(calls) :]
    assert all("/system/callbackkey/" in call for call in caused), "to check a signature needs its key, and no more"
    assert metric(stage, "connector_push_to_pass_seconds_count") == looks

    before = lists(stage, "connectwise")
    stage.control("POST", f"/connectwise/tickets/{number}/approve", {"actor": APPROVER})
    wait_for("the link", lambda: ready_mails(stage, number))
    assert metric(stage, "connector_push_to_pass_seconds_count") > looks
    assert lists(stage, "connectwise") == before, "a known ticket is read by itself"


def test_a_flood_of_true_pushes_makes_no_flood_of_calls(pushing: Pushing) -> None:
    stage = pushing()
    password = (stage.folder / "push.secret").read_text()
    number = stage.raise_ticket("Password Reset", "dana@contoso.com", REQUESTER)
    assert push(stage, {"object_id": number}, password=password) == 202
    wait_for("recognition", lambda: has_rest(stage, number))
    before = asked(stage, "halo")

    started = time.monotonic()

    def flood(worker: int) -> Counter[int]:
        answers: Counter[int] = Counter()
        while time.monotonic() < started + FLOOD_SECONDS:
            turn = sum(answers.values())
            body = {"object_id": number if turn % 2 else 900_000 + 1000 * worker + turn % 1000}
            answers[push(stage, body, password=password)] += 1
        return answers

    with ThreadPoolExecutor(4) as crowd:
        answers = sum(crowd.map(flood, range(4)), Counter())
    assert set(answers) <= {202, 429}
    assert answers[202] > 100
    seconds = time.monotonic() - started
    caused = Counter(asked(stage, "halo")[len(before) :])
    print(f"{answers} in {seconds:.1f} s caused {caused}")
    # One a second each, and what the poll finds changed is looked at once more.
    assert caused[f"get /api/tickets/{number}"] <= 2 * (seconds + 2)
    assert caused["get /api/tickets"] <= seconds + 2
    assert sum(caused.values()) <= 3 * (seconds + 2)
    assert call("GET", f"http://127.0.0.1:{stage.inbound_port}/healthz")["status"] == "ok"
