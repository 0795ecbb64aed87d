"""Looking at a running stage from outside: counted calls, the connector's metrics, mails, memory."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.stage import Stage, call, link_in, wait_for

REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"
SUBJECTS = tuple(f"{name}@contoso.com" for name in ("dana", "emil", "farid", "oona.o'neil", "paul+sales", "zoe",
                                                    "quinn", "sam"))  # fmt: skip
"""The accounts of the sandbox that may be reset by this requester and approver."""

WIDE_BRAKE = {
    "per_subject": "100000/24h",
    "per_requester": "100000/1h",
    "per_approver": "100000/1h",
    "per_tenant": "100000/1h",
    "overall": "100000/1h",
}
"""The brake would be right to stop what is done here."""

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_TICKET = re.compile(r"\[#(\d+)\]")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Calls:
    """Calls to the imitated systems since the last `start_counting`.

    Attributes:
        systems: By system: `halo`, `graph`, `authority`, `smtp`.
        calls: By method and path, ids replaced.
    """

    systems: Mapping[str, int]
    calls: Mapping[str, int]

    @property
    def everything(self) -> int:
        return sum(self.systems.values())

    def of(self, system: str) -> int:
        return self.systems.get(system, 0)

    def at(self, call: str) -> int:
        """How often one call was made: `GET /api/tickets`."""
        return self.calls.get(call, 0)


def start_counting(stage: Stage) -> None:
    stage.control("DELETE", "/calls")


def counted(stage: Stage) -> Calls:
    facts = stage.control("GET", "/calls")
    return Calls(facts["systems"], facts["calls"])


def metric(stage: Stage, name: str, **labels: str) -> float:
    """The sum of a metric of the connector over every series that has these labels; 0 where there is none."""
    page = str(call("GET", f"http://127.0.0.1:{stage.inbound_port}/metrics"))
    total = 0.0
    for series, written, value in _SAMPLE.findall(page):
        if series == name and labels.items() <= dict(_LABEL.findall(written)).items():
            total += float(value)
    return total


def polls(stage: Stage) -> int:
    """How many polls of the PSA ended well so far."""
    return int(metric(stage, "connector_polls_total", poll="psa:halo", result="ok"))


def links_called(stage: Stage) -> int:
    """Calls so far that make or end a link; reading events is not counted."""
    return int(metric(stage, "connector_outside_calls_total", system="The link service", method="POST"))


def wait_for_polls(stage: Stage, count: int, *, seconds: float = 60.0) -> int:
    """Wait until that many more polls have ended. Returns how many have, which may be more."""
    before = polls(stage)
    wait_for(f"{count} polls", lambda: polls(stage) >= before + count, seconds=seconds, every=0.02)
    return polls(stage) - before


def approve(stage: Stage, ticket: int) -> None:
    stage.control("POST", f"/tickets/{ticket}/approve", {"approver": APPROVER})


def approved_at(stage: Stage, ticket: int) -> datetime:
    """When the PSA recorded the yes, by the sandbox's clock."""
    [answered] = [row["answered_at"] for row in stage.ticket(ticket)["approvals"] if row["answered_at"]]
    return datetime.fromisoformat(answered)


def ready_mail(stage: Stage, ticket: int, *, seconds: float = 60.0) -> dict[str, Any]:
    """Wait for *Password ready*."""

    def look() -> dict[str, Any] | None:
        return next((mail for mail in stage.mails(ticket) if link_in(mail)), None)

    mail: dict[str, Any] = wait_for(f"the link of ticket {ticket}", look, seconds=seconds, every=0.02)
    return mail


def ticket_of(mail: Mapping[str, Any]) -> int:
    """The ticket that a mail is about; 0 where its subject names none."""
    found = _TICKET.search(mail["subject"])
    return int(found[1]) if found else 0


def resident_megabytes(pid: int) -> float:
    """The resident memory of a process, in MB of 1024 * 1024 bytes.

    Raises:
        LookupError: This system does not tell it in a way that is known here.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    if not done.stdout.strip().isdigit():
        raise LookupError("The resident memory of a process can be read on Linux and macOS only.")
    return int(done.stdout) / 1024
