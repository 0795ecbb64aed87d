"""News of links, by real processes: the connector hears of a reveal at once, and of a history that is not believed."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import pytest

from sandbox.stage import Stage, call, link_in, open_link, wait_for
from tests.e2e.conftest import SetUp
from tests.e2e.test_push import Pushing, add_webhook, metric, pushing, ready_mails  # noqa: F401 - a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"
DOWN = 'connector_system_down{system="link_history"}'


def carry_to_the_link(stage: Stage, subject: str) -> tuple[int, str]:
    """A ticket, and the address of its link."""
    number = stage.raise_ticket("Password Reset", subject, REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    [ready] = wait_for("the link", lambda: ready_mails(stage, number))
    return number, link_in(ready)


def reveal(stage: Stage, number: int, link: str) -> float:
    """See the password; the seconds from there to the closed ticket."""
    assert open_link(link)[0] == 200
    started = time.monotonic()
    wait_for("the end", lambda: stage.ticket(number)["status"] == "Closed", every=0.02)
    return time.monotonic() - started


def test_a_reveal_closes_its_ticket_long_before_the_next_poll(pushing: Pushing) -> None:  # noqa: F811
    stage = pushing(poll_every="10m")
    add_webhook(stage)
    for subject in ("dana@contoso.com", "emil@contoso.com"):
        number, link = carry_to_the_link(stage, subject)
        seconds = reveal(stage, number, link)
        print(f"from the reveal to the closed ticket: {seconds:.2f} s")
    assert metric(stage, 'connector_polls_total{poll="psa:halo",result="ok"}') < 5, "no regular poll came to help"


def test_a_link_service_that_starts_anew_is_listened_to_again(pushing: Pushing) -> None:  # noqa: F811
    stage = pushing(poll_every="10m")
    add_webhook(stage)
    number, link = carry_to_the_link(stage, "dana@contoso.com")
    stage.kill("links")
    wait_for("that it is missed", lambda: "not_listening_for_links" in stage.log("connector"))
    stage.start_links()
    reveal(stage, number, link)


def test_the_connector_stops_at_once_though_it_listens(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    stage.start_links()
    stage.start_connector()
    wait_for("the first poll", lambda: metric(stage, 'connector_polls_total{poll="links",result="ok"}'))
    time.sleep(1)  # it hangs in its call by now
    started = time.monotonic()
    assert stage.stop("connector") == 0
    seconds = time.monotonic() - started
    print(f"stopped within {seconds:.2f} s")
    assert seconds < 10, "a wait at the link service takes 25 s"


def findings(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stage.connector("check", "--json").stdout)["findings"]
    return [finding for finding in found if finding["about"].startswith("links")]


def test_a_link_service_restored_from_a_backup_is_an_alarm_until_its_history_is_accepted(set_up: SetUp) -> None:
    stage = set_up()
    carry_to_the_link(stage, "dana@contoso.com")
    stage.stop("links")
    backup = stage.folder / "backup.db"
    shutil.copy(stage.folder / "links.db", backup)
    stage.start_links()
    number, link = carry_to_the_link(stage, "emil@contoso.com")
    reveal(stage, *carry_to_the_link(stage, "farid@contoso.com"))  # what came before it was read, too
    assert "Its history goes on" in str(findings(stage))
    stage.stop("links")
    for kept in stage.folder.glob("links.db*"):
        kept.unlink()
    shutil.copy(backup, stage.folder / "links.db")
    stage.start_links()

    wait_for("the alarm", lambda: metric(stage, DOWN), seconds=40)
    assert "restored from a backup" in stage.log("connector")
    assert "restored from a backup" in str(call("GET", f"http://127.0.0.1:{stage.inbound_port}/healthz"))
    [wrong] = [finding for finding in findings(stage) if finding["level"] == "error"]
    assert "accept-history" in wrong["text"]
    assert stage.case(number)["case"]["state"] == "link_out", "nothing is concluded"
    assert open_link(link)[0] != 200, "this link was made after the backup"

    accepted = stage.connector("links", "accept-history")
    assert accepted.returncode == 0, accepted.stderr
    wait_for("the end of the alarm", lambda: not metric(stage, DOWN), seconds=40)
    later, newest = carry_to_the_link(stage, "zoe@contoso.com")
    reveal(stage, later, newest)
    assert stage.log("connector").count("bug") == 0
