"""The whole story with a link service that is not our own: real processes, nothing of `serve-links` among them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.core.secret import Secret
from sandbox.stage import call, wait_for
from tests.e2e.forking_stage import ForkingStage
from tests.e2e.states import state_of
from tests.secretlink.other_services import BRITISH, Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REQUESTER, APPROVER, SUBJECT = "ben@contoso.com", "anna@contoso.com", "dana@contoso.com"
ADDRESS = {
    "passwordpusher": re.compile(r"https?://\S+/p/([A-Za-z0-9_-]+)/r"),
    "onetimesecret": re.compile(r"https?://\S+/secret/([A-Za-z0-9]+)"),
}


class OtherStage(ForkingStage):
    """A stage without our own link service."""

    kind = ""
    links: dict[str, Any] = {}  # noqa: RUF012 - set for each stage

    def start_with(self, kind: str, **links: Any) -> None:
        self.kind, self.links = kind, links
        self.start_sandbox()
        self.write_files()
        self.start_connector()

    def write_files(self) -> None:
        super().write_files()
        secret = self.folder / f"{self.kind}.secret"
        secret.write_text(self.facts[f"{self.kind}_token"])
        secret.chmod(0o600)
        path = self.folder / "connector.yaml"
        settings = json.loads(path.read_text())
        settings["links"] = {
            "kind": self.kind, "url": self.facts[self.kind], "token": {"file": secret.name}, **self.links,
        }  # fmt: skip
        path.write_text(json.dumps(settings))

    def address_in(self, mail: dict[str, Any]) -> Secret | None:
        found = ADDRESS[self.kind].search(mail["text"])
        return Secret(found[0]) if found else None

    def link_of(self, number: int) -> Secret:
        def found() -> Secret | None:
            return next((url for mail in self.mails(number) if (url := self.address_in(mail))), None)

        link: Secret = wait_for("the link", found, seconds=40)
        return link

    def pushes(self, which: str) -> Any:
        headers = {"Authorization": f"Bearer {self.facts['passwordpusher_token']}"}
        return call("GET", f"{self.facts['passwordpusher']}/api/v2/pushes/{which}", headers=headers)

    def approved(self, subject: str = SUBJECT) -> int:
        number = self.raise_ticket("Password Reset", subject, REQUESTER, details="locked out")
        wait_for("the confirmation", lambda: self.mails(number))
        self.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER, "comment": "spoke to them"})
        return number

    def ended(self, number: int, outcome: str) -> None:
        wait_for("the end", lambda: self.ticket(number)["status"] == "Closed", seconds=40)
        case = self.case(number)["case"]
        assert (case["state"], case["outcome"]) == ("closed", outcome)

    def opens(self, password: Secret, subject: str = SUBJECT) -> bool:
        body = {"password": password.reveal()}
        return bool(self.control("POST", f"/accounts/{subject}/check-password", body)["opens"])

    def notes(self, number: int) -> str:
        return "\n".join(action["note"] for action in self.ticket(number)["actions"] if action["application"])

    def everything_kept(self) -> bytes:
        """The connector's database with its side files, and what it has logged."""
        return b"".join(path.read_bytes() for path in self.folder.glob("connector.*") if path.suffix != ".yaml")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[OtherStage]:
    with OtherStage(tmp_path / "stage") as stage:
        yield stage


def mail_saying(stage: OtherStage, number: int, words: str) -> Callable[[], dict[str, Any] | None]:
    return lambda: next((mail for mail in stage.mails(number) if words in mail["text"]), None)


def test_a_request_ends_with_the_true_password_by_password_pusher(stage: OtherStage) -> None:
    stage.start_with("passwordpusher", lifetime="60m", views=2)
    number = stage.approved()
    link = stage.link_of(number)
    password = Person().open_push(link)
    assert password is not None
    assert stage.opens(password)
    assert not any("Show password" in mail["text"] for mail in stage.mails(number)), "no button of that page"
    assert stage.log("connector").count("a mail scanner that follows") == 1, "said once, at the start"
    stage.ended(number, "opened")
    accessed = wait_for("the mail", mail_saying(stage, number, BRITISH))
    assert "United Kingdom (approx.)" in accessed["text"]
    assert f"{BRITISH}" in stage.notes(number)
    assert "Edge 156 on Windows" in stage.notes(number)
    # The second view is told, too, though the case is closed.
    assert Person().open_push(link) == password
    wait_for("the second view", lambda: stage.notes(number).count(BRITISH) == 2, seconds=40)
    assert Person().open_push(link) is None
    token = ADDRESS["passwordpusher"].search(link.reveal())
    assert token is not None
    kept = stage.everything_kept()
    for secret in (token[1], password.reveal()):
        assert secret.encode() not in kept
        assert secret not in stage.notes(number)


def test_a_link_at_password_pusher_is_ended_in_its_time(stage: OtherStage) -> None:
    stage.start_with("passwordpusher", lifetime="4s", views=2)
    number = stage.approved()
    link = stage.link_of(number)
    (push,) = stage.pushes("active")
    assert push["expire_after_days"] == 1, "it would live on for a day"
    stage.ended(number, "expired")
    (push,) = stage.pushes("expired")
    assert push["deleted"] is True, "by us"
    assert stage.pushes("active") == []
    assert Person().open_push(link) is None
    wait_for("the mail", lambda: any("expired" in mail["subject"] for mail in stage.mails(number)))


def test_a_link_that_a_killed_connector_left_is_ended_by_the_next_one(stage: OtherStage) -> None:
    stage.start_with("passwordpusher", lifetime="12s", views=2)
    number = stage.approved()
    link = stage.link_of(number)
    wait_for("the note, which is written with the case", lambda: "was mailed to" in stage.notes(number))
    stage.kill("connector")
    (push,) = stage.pushes("active")
    end = datetime.fromisoformat(push["note"].split()[2])
    wait_for("the end of its lifetime", lambda: datetime.now(UTC) > end)
    assert stage.pushes("active") == [push], "nobody else ends it"
    stage.start_connector()
    stage.ended(number, "expired")
    assert stage.pushes("active") == []
    assert Person().open_push(link) is None


def test_a_request_ends_with_the_true_password_by_onetimesecret(stage: OtherStage) -> None:
    stage.start_with("onetimesecret", username="links@example.com", lifetime="60m", views=1)
    number = stage.approved()
    link = stage.link_of(number)
    # A new process finds the link again by what the case remembers.
    wait_for("the case", lambda: state_of(stage, number) == "link_out")
    stage.kill("connector")
    stage.start_connector()
    password = Person().open_secret(link)
    assert password is not None
    assert stage.opens(password)
    stage.ended(number, "opened")
    assert Person().open_secret(link) is None
    token = ADDRESS["onetimesecret"].search(link.reveal())
    assert token is not None
    kept = stage.everything_kept()
    for secret in (token[1], password.reveal()):
        assert secret.encode() not in kept
        assert secret not in stage.notes(number)


def test_what_a_service_cannot_do_stops_the_start(stage: OtherStage) -> None:
    stage.kind, stage.links = "onetimesecret", {"username": "links@example.com"}
    stage.start_sandbox()
    stage.write_files()
    done = stage.connector("run")
    assert done.returncode == 2
    assert "links.views: 2 is more than links of kind onetimesecret can have. Write 1" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_the_check_says_what_is_weaker(stage: OtherStage) -> None:
    stage.kind, stage.links = "passwordpusher", {}
    stage.start_sandbox()
    stage.write_files()
    stage.connector("migrate")
    said = " ".join(stage.connector("check").stdout.split())
    assert "self-hosted, API v2" in said
    for words in ("mail scanner", "for up to a day", "PWPUSH_MASTER_KEY", "this was not me"):
        assert words in said
