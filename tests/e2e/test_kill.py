"""The daemon is killed again and again at random points under load; what was promised still holds."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.stage import Stage, link_in, open_link, wait_for
from tests.e2e.conftest import SetUp
from tests.e2e.states import state_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

KILLS = 30
PASSWORDS = ("dana", "emil", "farid", "paul+sales", "zoe", "oona.o'neil")
MFA = ("quinn", "sam")
NEVER_APPROVED = ("nils",)


def test_thirty_kills_lose_nothing_and_reset_nothing_unasked(set_up: SetUp) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)
    stage = set_up(all_parts=False, brake={"per_requester": "500/1h", "per_approver": "500/1h", "per_tenant": "500/1h",
                                           "per_subject": "90/24h", "overall": "900/1h"})  # fmt: skip
    stage.control("POST", "/latency", {"ms": 90})
    stage.start_links()
    tickets: dict[int, str] = {}
    work = [*(("Password Reset", name) for name in PASSWORDS), *(("MFA Reset", name) for name in MFA)]
    waiting: set[int] = set()
    for kill in range(KILLS):
        if work and kill % 2 == 0:
            kind, name = work.pop(0)
            number = stage.raise_ticket(kind, f"{name}@contoso.com", "ben@contoso.com")
            tickets[number] = name
            waiting.add(number)
        if kill == 3:
            stage.raise_ticket("Password Reset", f"{NEVER_APPROVED[0]}@contoso.com", "ben@contoso.com")
        stage.start_connector()
        approve_what_was_confirmed(stage, waiting)
        time.sleep(chance.uniform(0.0, 1.2))  # the random point
        approve_what_was_confirmed(stage, waiting)
        stage.kill("connector")
    stage.start_connector()
    wait_for("every approval", lambda: approve_what_was_confirmed(stage, waiting) or not waiting, seconds=60)
    passwords = [number for number, name in tickets.items() if name in PASSWORDS]
    for number in passwords:
        wait_for(f"the link of {number}", lambda number=number: state_of(stage, number) == "link_out", seconds=90)
    print(f"{len([m for m in stage.mails() if link_in(m)])} links were mailed for {len(passwords)} tickets")
    with ThreadPoolExecutor() as people:  # each takes a person's time
        for _ in people.map(lambda number: open_every_link(stage, number, tickets[number]), passwords):
            pass
    for number in tickets:
        wait_for(f"the end of {number}", lambda number=number: stage.ticket(number)["status"] == "Closed", seconds=90)
    cases = json.loads(stage.connector("cases", "--all", "--json").stdout)["cases"]
    assert {case["ticket"]: case["state"] for case in cases}.items() >= {str(n): "closed" for n in tickets}.items()
    for number, name in tickets.items():
        if name in MFA:
            assert stage.control("GET", f"/accounts/{name}@contoso.com")["methods"] == []
        notes = [action["note"] for action in stage.ticket(number)["actions"] if action["application"]]
        marks = Counter(note[note.rindex("[ref") :] for note in notes)
        assert max(marks.values()) == 1, f"a note stands twice in {number}: {marks}"
        assert sum("Recognised" in note for note in notes) == 1, "no note is lost, none is doubled"
    for name in NEVER_APPROVED:
        assert stage.control("GET", f"/accounts/{name}@contoso.com")["writes"] == 0, "no write without an approval"
    untouched = {"anna", "ben", "mira", "karin", "lars", "jan", "grete"}
    assert all(stage.control("GET", f"/accounts/{name}@contoso.com")["writes"] == 0 for name in untouched)
    assert stage.connector("audit", "verify").returncode == 0


def approve_what_was_confirmed(stage: Stage, waiting: set[int]) -> None:
    for number in sorted(waiting):
        if stage.mails(number):
            stage.control("POST", f"/tickets/{number}/approve", {"approver": "anna@contoso.com"})
            waiting.discard(number)


def open_every_link(stage: Stage, number: int, name: str) -> None:
    """The last one gives the password in force; those before it are dead."""
    links = [link_in(mail) for mail in stage.mails(number) if link_in(mail)]
    for older in links[:-1]:
        assert open_link(older)[1] == "", "an older link must be dead"
    status, password = open_link(links[-1])
    assert status == 200
    check = stage.control("POST", f"/accounts/{name}@contoso.com/check-password", {"password": password})
    assert check["opens"]
