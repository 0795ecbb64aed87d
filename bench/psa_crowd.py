"""A stage with many customers, whose tickets all wait for an approval, and approvers who answer at a given pace.

The tickets are recognised first, with a budget of calls that does not matter and a poll every second. Then the
connector is started again with the settings that are to be measured; what waits is in its database. Each ticket is
about another account. One more ticket of each customer is carried out before the clock starts: tokens are warm then.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.watch import WIDE_BRAKE, counted, metric, start_counting, ticket_of
from sandbox.stage import Stage, call, link_in, wait_for

WORKERS = 8
WIDE_BUDGET = {"share": "100%", "calls": 100_000, "per": "1m"}
PUSH_USER = "halo"
APPROVERS_AT_ONCE = 4
MAILS_AFTER_APPROVAL = 2
"""*Request approved* and *Password ready*."""


@dataclass(frozen=True)
class Request:
    """A ticket that waits.

    Attributes:
        customer: Their number, from 1.
    """

    id: int
    customer: int
    subject: str


@dataclass
class Crowd:
    """Customers and their tickets.

    Attributes:
        users: Of each customer, each of whom can be asked for once.
    """

    stage: Stage
    customers: int
    users: int
    _used: int = field(default=0)

    def raise_requests(self, count: int) -> list[Request]:
        """Raise so many tickets, spread evenly over the customers, each for somebody else."""
        wanted = [divmod(place, self.customers) for place in range(self._used, self._used + count)]
        self._used += count
        return [self._raise(customer + 1, user + 1) for user, customer in wanted]

    def _raise(self, customer: int, user: int) -> Request:
        if user > self.users:
            raise ValueError(f"customer {customer} has {self.users} users, and all have been asked for")
        home = f"customer{customer:02}.example"
        subject = f"user{user:02}@{home}"
        client = int(self.stage.facts["tenants"][f"customer{customer:02}"]["clients"][0])
        number = self.stage.raise_ticket("Password Reset", subject, f"requester@{home}", client_id=client)
        return Request(number, customer, subject)

    # -- the connector

    def start(self, *, poll_every: str, push: bool = False, budget: Mapping[str, object] | None = WIDE_BUDGET) -> None:
        """Start the connector (again).

        Args:
            push: Whether HaloPSA's webhooks are set up, with a proof.
            budget: `psa.halo.budget`; `None` leaves it out, which is the default share of the published limit.
        """
        self.stage.stop("connector")
        path = self.stage.folder / "connector.yaml"
        settings = json.loads(path.read_text())
        halo = settings["psa"]["halo"]
        settings |= {"poll_every": poll_every, "workers": WORKERS}
        for key in ("budget", "push"):
            halo.pop(key, None)
        if budget is not None:
            halo["budget"] = dict(budget)
        if push:
            password = secrets.token_urlsafe(24)
            (self.stage.folder / "push.secret").write_text(password)
            halo["push"] = {"username": PUSH_USER, "password": {"file": "push.secret"}}
            webhook = {"url": self._nudge, "username": PUSH_USER, "password": password}
            self.stage.control("POST", "/halo/webhooks", webhook)
        path.write_text(json.dumps(settings))
        self.stage.start_connector()

    def poll_now(self) -> None:
        """Nudge it; only where there are no webhooks."""
        call("POST", self._nudge, {})

    @property
    def _nudge(self) -> str:
        return f"http://127.0.0.1:{self.stage.inbound_port}/nudge/halo"

    def recognise(self, count: int) -> None:
        """Wait until so many confirmations were mailed and nothing is worked on any more."""
        wait_for(f"{count} confirmations", lambda: counted(self.stage).of("smtp") >= count, seconds=180, every=0.25)
        self.settle()

    def settle(self) -> None:
        """Wait until no pass was made for a while: our own notes come back as changes at the next poll."""
        passes, quiet_since = -1.0, time.monotonic()
        end = quiet_since + 60
        while time.monotonic() - quiet_since < 2.5 and time.monotonic() < end:
            now = metric(self.stage, "connector_passes_total")
            if now != passes:
                passes, quiet_since = now, time.monotonic()
            time.sleep(0.25)

    # -- the approvers

    def approve(self, requests: Sequence[Request], *, per_second: float) -> float:
        """Say yes to one after the other at this pace. Returns how many seconds the last one was late."""
        late = [0.0]
        with ThreadPoolExecutor(APPROVERS_AT_ONCE) as people:
            started = time.monotonic()
            for place, request in enumerate(requests):
                time.sleep(max(0.0, started + place / per_second - time.monotonic()))
                people.submit(self._approve, request, started + place / per_second, late)
        return late[0]

    def _approve(self, request: Request, wanted_at: float, late: list[float]) -> None:
        late[0] = max(late[0], time.monotonic() - wanted_at)
        home = f"customer{request.customer:02}.example"
        self.stage.control("POST", f"/tickets/{request.id}/approve", {"approver": f"approver@{home}"})

    def forget(self) -> None:
        """Forget mails, calls and deliveries of what was before."""
        for path in ("/mails", "/exchanges", "/halo/deliveries"):
            self.stage.control("DELETE", path)
        start_counting(self.stage)

    def wait_for_links(self, requests: Sequence[Request], *, seconds: float) -> Mapping[int, datetime]:
        """When each *Password ready* was accepted, by the sandbox's clock. Waits for all of them, but not for ever.

        Mails are looked at only once there are enough of them: a look costs the sandbox time, too.
        """
        end = time.monotonic() + seconds
        while True:
            enough = counted(self.stage).of("smtp") >= MAILS_AFTER_APPROVAL * len(requests)
            if enough or time.monotonic() > end:
                ready = self.ready(requests)
                if len(ready) == len(requests) or time.monotonic() > end:
                    return ready
            time.sleep(0.5)

    def ready(self, requests: Sequence[Request]) -> dict[int, datetime]:
        wanted = {request.id for request in requests}
        found: dict[int, datetime] = {}
        for mail in self.stage.mails():
            if ticket_of(mail) in wanted and link_in(mail):
                found.setdefault(ticket_of(mail), datetime.fromisoformat(mail["at"]))
        return found

    def approved_at(self, requests: Sequence[Request]) -> dict[int, datetime]:
        """When HaloPSA recorded each yes, by the sandbox's clock; without those that were not given."""
        wanted = {request.id for request in requests}
        tickets: list[dict[str, Any]] = self.stage.control("GET", "/tickets")
        return {
            ticket["id"]: datetime.fromisoformat(row["answered_at"])
            for ticket in tickets
            if ticket["id"] in wanted
            for row in ticket["approvals"]
            if row["answered_at"]
        }


@contextmanager
def crowded(folder: Path, *, customers: int, users: int) -> Iterator[Crowd]:
    """A stage with sandbox and link service; the connector is started by `Crowd.start`."""
    options = ("--tenants", str(customers), "--users", str(users))
    with Stage(folder, sandbox_options=options, settings={"brake": WIDE_BRAKE}) as stage:
        stage.start_sandbox()
        stage.write_files()
        stage.start_links()
        yield Crowd(stage, customers, users)
