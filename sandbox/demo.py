"""The whole story in the terminal, by itself, in under a minute: `make demo`. With `--play` the stage stays open.

Six requests are raised, approved or rejected, reset, handed over and closed, by the real connector and the real link
service against the imitated HaloPSA, Microsoft Graph and mail server. The people are played here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sandbox.stage import Stage, alarm_in, link_in, open_link, press_alarm, wait_for

STORY_SECONDS = 50.0
LINK_LIFETIME = "14s"
APPROVER = "anna@contoso.com"
REQUESTER = "ben@contoso.com"


@dataclass(frozen=True)
class Story:
    """One ticket of the play."""

    title: str
    kind: str
    subject: str
    reason: str
    answer: str
    ends: str


STORIES = (
    Story("a password, approved and opened", "Password Reset", "dana@contoso.com", "locked out since this morning",
          "approve", "opened"),
    Story("one that somebody else opened", "Password Reset", "zoe@contoso.com", "cannot sign in any more", "approve",
          "not_me"),
    Story("an MFA reset", "MFA Reset", "farid@contoso.com", "lost the phone", "approve", "mfa_reset"),
    Story("a rejected one", "Password Reset", "emil@contoso.com", "forgot it again", "reject", "rejected"),
    Story("a link that nobody opens", "Password Reset", "paul+sales@contoso.com", "back from leave", "approve",
          "expired"),
    Story("a protected account", "Password Reset", "mira@contoso.com", "the chief executive, urgent!", "",
          "needs_person"),
)  # fmt: skip
ENDED = ("Closed", "Needs technician", "Security alarm")


class Narrator:
    """Prints what happens, each thing once, as it happens."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._mails = 0
        self._actions: dict[int, int] = {}
        self._lock = threading.Lock()

    def say(self, who: str, what: str, *, ticket: int | None = None, style: str = "") -> None:
        line = Table.grid(padding=(0, 1))
        for width in (8, 5, 10):
            line.add_column(width=width, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(
            Text(f"{datetime.now():%H:%M:%S}", "dim"),  # noqa: DTZ005 - the viewer's own clock
            Text(f"#{ticket}" if ticket else "", "bold"),
            Text(who, style or "cyan"),
            Text(what),
        )
        with self._lock:
            self._console.print(line)

    def look(self, tickets: dict[int, Story]) -> None:
        """Tell what is new in the mailbox and on the tickets."""
        mails = self._stage.mails()
        for mail in mails[self._mails :]:
            self.say("mail", f"to {', '.join(mail['recipients'])}: {mail['subject']}", style="green")
        self._mails = len(mails)
        for number in tickets:
            facts = self._stage.ticket(number)
            actions = facts["actions"]
            for action in actions[self._actions.get(number, 0) :]:
                if action["application"] and action["note"]:
                    first = _plain(action["note"]).split("\n")[0]
                    self.say("note", first, ticket=number, style="yellow")
            self._actions[number] = len(actions)


def play_story(stage: Stage, narrator: Narrator) -> dict[int, Story]:
    """Raise, answer and open; returns the tickets."""
    tickets: dict[int, Story] = {}
    for story in STORIES:
        number = stage.raise_ticket(story.kind, story.subject, REQUESTER, details=story.reason)
        tickets[number] = story
        narrator.say("requester", f"raises “{story.kind}” for {story.subject}: {story.reason}", ticket=number)
    answered: set[int] = set()
    opened: set[int] = set()
    alarmed: set[int] = set()
    end = time.monotonic() + STORY_SECONDS
    states: dict[int, str] = {}
    while time.monotonic() < end:
        narrator.look(tickets)
        for number, story in tickets.items():
            mails = stage.mails(number)
            if story.answer and number not in answered and mails:
                answered.add(number)
                comment = "not without a call first" if story.answer == "reject" else "fine with me"
                stage.control("POST", f"/tickets/{number}/{story.answer}", {"approver": APPROVER, "comment": comment})
                narrator.say("approver", f"{story.answer}s: “{comment}”", ticket=number)
            link = next((link for mail in mails if (link := link_in(mail))), "")
            if story.ends == "opened" and link and number not in opened:
                opened.add(number)
                _status, password = open_link(link)
                opens = stage.control("POST", f"/accounts/{story.subject}/check-password", {"password": password})
                narrator.say(
                    "requester",
                    f"opens the link: {len(password)} characters; the password "
                    f"{'signs in' if opens['opens'] else 'DOES NOT sign in'} and must be changed",
                    ticket=number,
                )
            if story.ends == "not_me" and link and number not in opened:
                opened.add(number)
                open_link(link)
                narrator.say("stranger", "opens the link before the requester does", ticket=number, style="red")
            alarm = next((alarm for mail in mails if (alarm := alarm_in(mail))), "")
            if story.ends == "not_me" and alarm and number not in alarmed:
                alarmed.add(number)
                press_alarm(alarm)
                narrator.say("requester", "was not it, and says so: “This was not me”", ticket=number)
        if all(stage.ticket(number)["status"] in ENDED for number in tickets):
            narrator.look(tickets)
            states = {number: _ending(stage, number) for number in tickets}
            if all(states[number] == story.ends for number, story in tickets.items()):
                return tickets
        time.sleep(0.3)
    raise TimeoutError(f"The story did not end: {states}. Look into {stage.folder} for the logs.")


def _ending(stage: Stage, number: int) -> str:
    cases = _cases(stage)
    case = cases.get(str(number), {})
    return str(case.get("outcome") if case.get("state") == "closed" else case.get("state"))


def _cases(stage: Stage) -> dict[str, dict[str, Any]]:
    done = stage.connector("cases", "--all", "--json")
    return {case["ticket"]: case for case in json.loads(done.stdout)["cases"]} if done.returncode == 0 else {}


def _plain(html: str) -> str:
    text = html.replace("<br>", "\n").replace("</p>", "\n")
    while "<" in text and ">" in text[text.index("<") :]:
        start = text.index("<")
        text = text[:start] + text[text.index(">", start) + 1 :]
    return text.replace("&amp;", "&").replace("&#x27;", "'").replace("&quot;", '"').replace("&lt;", "<").strip()


def print_ending(stage: Stage, console: Console, tickets: dict[int, Story]) -> None:
    """What became of each ticket, and one time line."""
    cases = _cases(stage)
    table = Table(title="What became of them", title_justify="left", box=None, pad_edge=False, header_style="dim")
    for name in ("ticket", "story", "ended", "in the PSA", "mails"):
        table.add_column(name)
    for number, story in tickets.items():
        case = cases[str(number)]
        table.add_row(
            f"#{number}",
            story.title,
            case["outcome"] or case["state"],
            stage.ticket(number)["status"],
            str(len(stage.mails(number))),
        )
    console.print()
    console.print(table)
    first = next(iter(tickets))
    console.print(f"\n[dim]$ connector show {first}[/dim]", highlight=False)
    console.print(Text(stage.connector("show", str(first)).stdout.rstrip()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--play", action="store_true", help="leave everything running for clicking")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # whoever is ended that way must not leave three processes behind
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="connector-demo-"))
    lifetime = {} if words.play else {"links": {"lifetime": LINK_LIFETIME}}
    started = time.monotonic()
    try:
        # What the commands print is shown here: they break their lines where this console does.
        with Stage(folder, settings=lifetime, environ={"COLUMNS": str(console.width)}) as stage:
            stage.start_all()
            narrator = Narrator(stage, console)
            if words.play:
                _play(stage, console)
                return 0
            console.print(Rule("PSA connector: password and MFA resets, end to end", align="left"))
            console.print(
                f"Links live {LINK_LIFETIME} here instead of 60 minutes, so that one can expire while you watch.\n",
                style="dim",
            )
            tickets = play_story(stage, narrator)
            print_ending(stage, console, tickets)
            console.print(
                f"\n{time.monotonic() - started:.0f} seconds. Click through it yourself: [bold]make play[/bold]"
                "   Every mail as a file: [bold]connector mails preview DIR[/bold]"
            )
    except (TimeoutError, RuntimeError) as failure:
        console.print(Text(f"The demo failed: {failure}"), style="red")
        console.print(f"Logs: {folder}")
        return 1
    except KeyboardInterrupt:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _play(stage: Stage, console: Console) -> None:
    console.print(
        Panel.fit(
            f"Console (raise, approve, read mails)   {stage.facts['control']}/\n"
            f"Link service                           http://127.0.0.1:{stage.links_port}/\n"
            f"Health and metrics of the connector    http://127.0.0.1:{stage.inbound_port}/metrics\n\n"
            f"connector --config {stage.folder / 'connector.yaml'} cases\n\n"
            "Raise a ticket as Ben for dana@contoso.com, approve it as Anna, open the link from the mail.\n"
            "Ctrl+C ends everything.",
            title="The stage is yours",
        )
    )
    wait_for("Ctrl+C", lambda: False, seconds=12 * 3600.0, every=1.0)


if __name__ == "__main__":
    sys.exit(main())
