"""Every row of "when things go wrong", played by real processes: what the requester is told and what agents read.

A PSA's own file gives two fixtures that make a `RowsDesk`: `desk`, shared by the rows of a module (links live for
`LIFETIME` there), and `desk_of_outages`, on a stage of its own, because its connector is stopped and started.
"""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from sandbox.stage import Stage, alarm_in, call, link_in, open_link, press_alarm, wait_for
from tests.e2e.forking_stage import ForkingStage
from tests.e2e.states import state_of

LIFETIME = "12s"
"""Long enough to open a link twice at a person's pace, short enough to wait for its end."""
MORE_THAN_TEN_MINUTES = 11.0
AHEAD = Path(__file__).with_name("ahead.py")

ALARM_PRIORITIES = {"halopsa.yaml": "Critical", "connectwise.yaml": "Priority 1 - Emergency Response"}
SECURITY_ALARM = "Security alarm"

Asked = Literal["password", "mfa", "both"]


class RowsDesk(Protocol):
    """The people of one PSA, and everything behind it.

    Attributes:
        requester: The address of whoever raises the tickets.
        look_every: Seconds between two looks at the PSA while a test waits.
    """

    stage: StageInTime
    requester: str
    look_every: float

    def ask(self, what: Asked, subject: str, *, reason: str = "") -> int:
        """Raise a ticket. Returns its number."""

    def approve(self, number: int, words: str = "") -> None: ...

    def reject(self, number: int, words: str = "") -> None: ...

    def notes(self, number: int) -> list[str]:
        """What the connector wrote into the ticket, oldest first, as plain text."""

    def ended(self, number: int) -> bool:
        """Whether the PSA counts the ticket among the closed ones."""

    def alarmed(self, number: int) -> bool:
        """Whether the ticket is open again, in the status and with the priority that the mapping names for alarms."""

    def go_down(self) -> None:
        """The PSA answers nobody."""

    def come_up(self) -> None: ...


@dataclass
class StageInTime(ForkingStage):
    """A stage whose connector can be started as it will be some minutes later."""

    minutes_ahead: float = 0

    def write_mapping(self) -> None:
        """As shipped, with a priority for alarms."""
        super().write_mapping()
        for name, priority in ALARM_PRIORITIES.items():
            file = self.folder / name
            file.write_text(f"{file.read_text('utf-8')}\nalarm: {{priority: {priority!r}}}\n", encoding="utf-8")

    def program(self, config: str) -> list[str]:
        if not self.minutes_ahead or config != "connector.yaml":
            return super().program(config)
        return [sys.executable, str(AHEAD), str(self.minutes_ahead), "--config", str(self.folder / config)]

    def connector(self, *words: str, config: str = "connector.yaml") -> subprocess.CompletedProcess[str]:
        command = Stage.connector if self.minutes_ahead else ForkingStage.connector
        return command(self, *words, config=config)

    def let_minutes_pass(self, minutes: float) -> None:
        """Stop the connector, and start it so much later."""
        self.stop("connector")
        self.minutes_ahead += minutes
        self.start_connector()


# ---------------------------------------------------------------- what people see


def told(desk: RowsDesk, number: int, words: str, *, seconds: float = 40) -> dict[str, Any]:
    """The mail to the requester about this ticket in which `words` stand; waits for it."""

    def look() -> list[dict[str, Any]]:
        return [mail for mail in desk.stage.mails(number) if words in plain(mail)]

    mail: dict[str, Any] = wait_for(f"the mail with {words!r}", look, seconds=seconds)[-1]
    assert mail["recipients"] == [desk.requester]
    return mail


def plain(mail: dict[str, Any]) -> str:
    return " ".join(str(mail["text"]).split())


def noted(desk: RowsDesk, number: int, pattern: str) -> str:
    """The note that fits `pattern`; waits for it, and there is just one."""
    [note] = wait_for(
        f"the note {pattern!r}",
        lambda: [one for one in desk.notes(number) if re.search(pattern, one)],
        seconds=40,
        every=desk.look_every,
    )
    return str(note)


def ended(desk: RowsDesk, number: int) -> None:
    wait_for(f"the end of {number}", lambda: desk.ended(number), seconds=60, every=desk.look_every)


def raised(desk: RowsDesk, what: Asked, subject: str, *, reason: str = "") -> int:
    """A ticket that was recognised, and whose requester was told."""
    number = desk.ask(what, subject, reason=reason)
    told(desk, number, "now waits for approval")
    return number


def link_for(desk: RowsDesk, number: int) -> str:
    [mail] = wait_for("the link", lambda: [one for one in desk.stage.mails(number) if link_in(one)], seconds=40)
    assert mail["recipients"] == [desk.requester]
    return link_in(mail)


def account(desk: RowsDesk, name: str) -> dict[str, Any]:
    found: dict[str, Any] = desk.stage.control("GET", f"/accounts/{name}")
    return found


def page_behind(url: str) -> str:
    """What a browser shows."""
    try:
        shown = str(call("GET", url))
    except urllib.error.HTTPError as refusal:
        with refusal:
            shown = refusal.read().decode()
    return " ".join(re.sub(r"<[^>]*>", " ", shown).split())


def outcome(desk: RowsDesk, number: int) -> tuple[str, str]:
    case = desk.stage.case(number)["case"]
    return case["state"], case["outcome"]


# ---------------------------------------------------------------- the rows


class Rows:
    """One test a row."""

    def test_a_link_that_expires_unopened(self, desk: RowsDesk) -> None:
        number = raised(desk, "password", "dana@contoso.com")
        desk.approve(number)
        url = link_for(desk, number)
        ended(desk, number)

        mail = told(desk, number, "was not opened in time")
        assert "raise a new request" in plain(mail)
        assert "Nobody has seen that password" in plain(mail)
        noted(desk, number, r"expired unopened at .*\d\d:\d\d.*nobody saw the password.*closed")
        assert open_link(url) == (410, "")
        assert outcome(desk, number) == ("closed", "expired")

    def test_both_views_used_without_handing_the_password_over(self, desk: RowsDesk) -> None:
        number = raised(desk, "password", "emil@contoso.com")
        desk.approve(number)
        url = link_for(desk, number)
        (first, password), (second, again) = open_link(url), open_link(url)
        assert (first, second) == (200, 200)
        assert password == again != ""

        assert open_link(url) == (410, "")
        page = page_behind(url)
        assert "cannot be opened" in page
        assert "Raise a new request" in page
        for view in (1, 2):
            assert "127.0.0.1" in noted(desk, number, rf"was shown \(view {view}\)")
            told(desk, number, f"View: {view} of 2")
        ended(desk, number)
        assert password not in "".join(desk.notes(number)) + "".join(plain(mail) for mail in desk.stage.mails(number))

    @pytest.mark.parametrize("views", [1, 2], ids=["a view is left", "used up"])
    def test_this_was_not_me(self, desk: RowsDesk, views: int) -> None:
        subject = {1: "dana@contoso.com", 2: "emil@contoso.com"}[views]
        number = raised(desk, "password", subject)
        desk.approve(number)
        url = link_for(desk, number)
        passwords = {open_link(url)[1] for _ in range(views)}
        ended(desk, number)
        mail = told(desk, number, f"View: {views} of 2")
        assert "This was not me" in plain(mail)
        alarm = alarm_in(mail)
        opens = desk.stage.control("POST", f"/accounts/{subject}/check-password", {"password": passwords.copy().pop()})
        assert opens["opens"], "so far the password that was shown opens the account"
        sessions = account(desk, subject)["sessions_revoked_at"]

        assert "used" not in page_behind(alarm) or views == 2, "opening the page changes nothing"
        assert not desk.alarmed(number)
        assert press_alarm(alarm) == 200

        wait_for("the alarm on the ticket", lambda: desk.alarmed(number), seconds=40, every=desk.look_every)
        assert "203.0.113.7" in (note := noted(desk, number, r"\bALARM:")) or "127.0.0.1" in note
        noted(desk, number, "Secured: .*has a password now that nobody has")
        assert open_link(url) == (410, "")
        for password in passwords:
            check = desk.stage.control("POST", f"/accounts/{subject}/check-password", {"password": password})
            assert not check["opens"]
        assert account(desk, subject)["sessions_revoked_at"] != sessions
        told(desk, number, "please don't raise a new request before we have spoken")
        assert outcome(desk, number) == ("closed", "not_me")

        writes = account(desk, subject)["writes"]
        assert press_alarm(alarm) in (200, 409, 410), "a repeat is harmless"
        assert account(desk, subject)["writes"] == writes
        assert len([note for note in desk.notes(number) if "ALARM:" in note]) == 1

    def test_rejected_by_mistake(self, desk: RowsDesk) -> None:
        before = account(desk, "zoe@contoso.com")["writes"]
        number = raised(desk, "both", "zoe@contoso.com")
        desk.reject(number, "not without a call")

        mail = told(desk, number, "Your request was declined")
        assert "not without a call" in plain(mail)
        assert "please don't raise the same request again" in plain(mail)
        assert "talk to IT" in plain(mail)
        assert "not without a call" in noted(desk, number, "Rejected by")
        ended(desk, number)
        assert outcome(desk, number) == ("closed", "rejected")
        assert account(desk, "zoe@contoso.com")["writes"] == before

    def test_locked_out_by_wrong_attempts(self, desk: RowsDesk) -> None:
        number = desk.ask("password", "dana@contoso.com", reason="Dana is locked out after too many attempts")
        mail = told(desk, number, "now waits for approval")
        assert "You wrote of a lock-out" in plain(mail)
        assert "clears by itself within minutes" in plain(mail)
        noted(desk, number, "reads like a lock-out")

    def test_can_still_sign_in(self, desk: RowsDesk) -> None:
        number = desk.ask("password", "dana@contoso.com", reason="forgot it, I think")
        mail = told(desk, number, "Can Dana Subject still sign in?")
        assert "https://myaccount.microsoft.com" in plain(mail)
        assert "myaccount" not in "".join(desk.notes(number))

    def test_both_lost(self, desk: RowsDesk) -> None:
        number = raised(desk, "both", "oona.o'neil@contoso.com")
        desk.approve(number)
        url = link_for(desk, number)
        assert account(desk, "oona.o'neil@contoso.com")["methods"] == []
        status, password = open_link(url)
        assert status == 200
        opens = desk.stage.control("POST", "/accounts/oona.o'neil@contoso.com/check-password", {"password": password})
        assert opens == {"opens": True, "must_change": True}
        ended(desk, number)
        noted(desk, number, "MFA of .* was reset")
        noted(desk, number, "Password of .* was reset")

    def test_not_prompted_for_mfa(self, desk: RowsDesk) -> None:
        number = raised(desk, "mfa", "sam@contoso.com")
        desk.approve(number)
        mail = told(desk, number, "have been reset")
        assert "https://mysignins.microsoft.com/security-info" in plain(mail)
        assert re.search("sign out everywhere", plain(mail), re.IGNORECASE)
        ended(desk, number)
        assert account(desk, "sam@contoso.com")["methods"] == []
        assert not any(link_in(one) for one in desk.stage.mails(number))

    @pytest.mark.parametrize("away", ["microsoft", "psa"])
    def test_a_delay_of_more_than_ten_minutes_is_noted_once_and_nothing_is_lost(
        self, desk_of_outages: RowsDesk, away: str
    ) -> None:
        desk, stage = desk_of_outages, desk_of_outages.stage
        subject = {"microsoft": "sam@contoso.com", "psa": "farid@contoso.com"}[away]
        assert stage.connector("pause", "--reason", "so that the approval is known before the outage").returncode == 0
        number = raised(desk, "mfa", subject)
        desk.approve(number)
        wait_for("the approval", lambda: state_of(stage, number) == "approved", seconds=40)
        seen = stage.log("connector").count('"delayed"') + stage.log("connector").count(" delayed")

        def delayed() -> bool:
            return stage.log("connector").count('"delayed"') + stage.log("connector").count(" delayed") > seen

        if away == "psa":
            desk.go_down()
        else:
            stage.control("POST", "/faults", {"system": "graph", "kind": "status", "status": 503, "times": 0})
        try:
            assert stage.connector("resume").returncode == 0
            wait_for("the first failure", delayed, seconds=40)
            assert account(desk, subject)["methods"], "nothing is removed while nobody can be asked"
            stage.let_minutes_pass(MORE_THAN_TEN_MINUTES)
        finally:
            if away == "psa":
                desk.come_up()
            else:
                stage.control("DELETE", "/faults")
        told(desk, number, "have been reset", seconds=90)
        ended(desk, number)
        assert account(desk, subject)["methods"] == []
        noted(desk, number, r"was delayed by 1\d minutes: another system could not be reached")
        assert len([note for note in desk.notes(number) if "MFA of" in note]) == 1
