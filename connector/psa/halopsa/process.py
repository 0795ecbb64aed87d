"""HaloPSA's approval processes: their steps, what each one wants, and the statuses that they set.

What the properties of a step mean is read off their names: the vendor's description names them and explains none
(UNVERIFIED), so each is taken in the sense that refuses more. Sources: the public Halo swagger (ApprovalProcess,
ApprovalProcessStep), Halo guides 2396 and 1812; read 2026-11-22.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.core.ports import Clock
from connector.errors import AuthenticationError, PermanentError
from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.values import Record, as_record, flag, identifier, number, records, text

REMEMBERED = timedelta(minutes=10)
REFUSAL_REMEMBERED = timedelta(minutes=1)

AUTOMATIC = (
    "autoapproveifnoapprovers",
    "autoapproveforagentlogging",
    "autoapproveforapprovalrequestor",
    "autoapproveifalreadyapp",
    "auto_approval_to_manager",
)
"""Switches of a step by which it approves without anybody's answer. None is described by the vendor, so all count."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a process.

    Attributes:
        switches: How it may approve by itself.
        least_votes: How many have to say yes, at least one.
        adhoc: Agents may name approvers of their own choice when they start it.
        awaiting, accepted, rejected, none_needed: Ids of the statuses that it sets while it waits, after its yes, after
            its no, and where it asks nobody; `None` where it sets none.
    """

    id: int | None
    name: str
    switches: tuple[str, ...] = ()
    least_votes: int = 1
    adhoc: bool = False
    awaiting: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    none_needed: int | None = None

    @property
    def title(self) -> str:
        return self.name or f"step {self.id}"


@dataclass(frozen=True, kw_only=True)
class Process:
    """An approval process. `steps` is never empty and stands in the order in which they are asked."""

    id: int
    name: str
    steps: tuple[Step, ...]

    @property
    def title(self) -> str:
        return f"The approval process {self.name} ({self.id})" if self.name else f"The approval process {self.id}"

    @property
    def switches(self) -> tuple[str, ...]:
        """Every way in which it may approve by itself, for people."""
        return tuple(f"{switch} in step {step.title}" for step in self.steps for switch in step.switches)

    @property
    def accepted(self) -> int | None:
        """The status after the last yes."""
        return self.steps[-1].accepted


def read_process(record: Record) -> Process | None:
    """The answer of GET /ApprovalProcess/{id}; `None` when it is none, or its steps cannot be seen."""
    id_, rows = identifier(record, "id"), records(record.get("steps"))
    if id_ is None or not rows:
        return None
    in_order = sorted(rows, key=lambda row: number(row.get("sequence")) or 0)
    return Process(id=id_, name=text(record, "name"), steps=tuple(_step(row) for row in in_order))


def _step(row: Record) -> Step:
    return Step(
        id=identifier(row, "id"),
        name=text(row, "name").strip(),
        switches=tuple(switch for switch in AUTOMATIC if flag(row, switch)),
        # Whether `minapprovers` counts those who are asked or those who agree is UNVERIFIED.
        least_votes=max(number(row.get("minapprovers")) or 0, 1),
        adhoc=flag(row, "allowadhocapprovers"),
        awaiting=identifier(row, "statusawaitingapproval"),
        accepted=identifier(row, "statusafteraccept"),
        rejected=identifier(row, "statusafterreject"),
        none_needed=identifier(row, "statusifnoapproval"),
    )


class Processes:
    """Reads approval processes and remembers them for a while. Safe to share between threads."""

    def __init__(self, api: HaloApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, tuple[datetime, Process | None]] = {}

    def get(self, process_id: int) -> Process | None:
        """The process, at most ten minutes old; `None` when we may not read it or it shows no steps.

        Raises:
            TemporaryError: HaloPSA does not tell now.
        """
        now = self._clock()
        with self._lock:
            known = self._known.get(process_id)
        if known and known[0] > now:
            return known[1]
        try:
            process = read_process(as_record(self._api.get(f"ApprovalProcess/{process_id}").body) or {})
        except (AuthenticationError, PermanentError):
            process = None
        if process is not None and process.id != process_id:
            process = None
        remembered = REFUSAL_REMEMBERED if process is None else REMEMBERED
        with self._lock:
            self._known[process_id] = (now + remembered, process)
        return process
