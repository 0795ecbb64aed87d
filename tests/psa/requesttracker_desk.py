"""Request Tracker as the `Desk` of the contract, with a border in between at which answers can get lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import quote

import pytest
import requests

from connector.adapter import Surroundings
from connector.config import Budget
from connector.core.case import Action
from connector.core.ports import Psa
from connector.errors import TemporaryError
from connector.http import Answer, Http
from tests.contracts.psa import Desk as ContractDesk
from tests.contracts.psa import PsaContract, SeenNote
from tests.e2e.request_tracker import (
    ADMIN,
    APPROVER,
    CONNECTOR,
    HELPDESK,
    QUEUE,
    REQUESTER,
    TIMEOUT_SECONDS,
    Desk,
    address_of,
)

KINDS = {Action.PASSWORD: "Password reset", Action.MFA: "MFA reset", Action.BOTH: "Password and MFA reset"}
CLOSED = "resolved"
STATUSES = {"closed": CLOSED, "hand_off": "needs technician", "retry": "retry reset"}
ALARM = "security alarm"
AT_ONCE = 20


class Border:
    """A small server between the adapter and Request Tracker: hands everything through, or fails on purpose."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.down = False
        self.losing: str | None = None
        border = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if border.down:
                    self.close_connection = True
                    return
                answer = requests.request(
                    self.command,
                    border.upstream + self.path,
                    data=body or None,
                    headers={
                        name: value
                        for name, value in self.headers.items()
                        if name.lower() in ("authorization", "accept", "content-type", "user-agent", "if-match")
                    },
                    allow_redirects=False,
                    timeout=TIMEOUT_SECONDS,
                )
                if border.losing == self.command:
                    border.losing = None
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                for name in ("Content-Type", "ETag"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - the names that the base class looks for

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @contextmanager
    def open(self) -> Iterator[Border]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@dataclass
class Wire:
    """The same failures without a server in between, for answers that are played from a recording."""

    down: bool = False
    losing: str | None = None


class WiredHttp(Http):
    """An `Http` whose calls the wire can stop before they are sent or after they were answered."""

    wire: Wire

    def call(self, method: str, url: str, **more: Any) -> Answer:
        if self.wire.down:
            raise TemporaryError(f"{self.system} cannot be reached.")
        answer = super().call(method, url, **more)
        if self.wire.losing == method:
            self.wire.losing = None
            raise TemporaryError(f"{self.system} cut the connection.")
        return answer


@dataclass(frozen=True, kw_only=True)
class WiredSurroundings(Surroundings):
    """Gives out clients on one wire."""

    wire: Wire

    def http_for(
        self, *, system: str, scope: str, timeout: timedelta | None = None, budget: Budget | None = None
    ) -> Http:
        http = WiredHttp(system=system, scope=scope, refuse_sandbox=False, budget=budget)
        http.wire = self.wire
        return http


class RequestTrackerDesk:
    """See `tests.contracts.psa.Desk`.

    Args:
        border: Where answers get lost.
        make: Makes an adapter that talks across it, of `STATUSES` and what else is given.
        wait: Lets the server's clock show another second; nothing to do where its answers are recorded.
    """

    requester = address_of(REQUESTER)
    approver = address_of(APPROVER)
    urgent = "80"
    open_status = "open"

    def __init__(self, people: Desk, border: Border | Wire, make: Callable[..., Psa], wait: Callable[[], None]) -> None:
        self._people = people
        self._border = border
        self._make = make
        self.tick = wait
        self.psa = make()

    def again(self) -> Psa:
        return self._make()

    def add_ticket(
        self, *, subject: str = "dana@contoso.com", action: Action = Action.PASSWORD, reason: str = ""
    ) -> str:
        return self._people.request(KINDS[action], subject, reason=reason)

    def add_tickets(self, count: int) -> set[str]:
        one = {
            "Queue": QUEUE,
            "Subject": "MFA reset",
            "Requestor": self.requester,
            "CustomFields": {"Request type": "MFA reset", "Target user": "dana@contoso.com"},
        }
        added: set[str] = set()
        for start in range(0, count, AT_ONCE):
            body = [one] * min(AT_ONCE, count - start)
            added |= {str(row["id"]) for row in self._people.done(HELPDESK, "POST", "/tickets/bulk", body)}
        return added

    def add_other_ticket(self) -> str:
        return self._people.request("Other", "dana@contoso.com")

    def approve(self, ticket_id: str, *, comment: str = "") -> None:
        self._people.approve(*self._people.approvals_of(ticket_id), words=comment)

    def reject(self, ticket_id: str, *, comment: str = "") -> None:
        self._people.reject(*self._people.approvals_of(ticket_id), words=comment)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self._people.fill(ticket_id, Target_user=text)

    def retype(self, ticket_id: str) -> None:
        self._people.fill(ticket_id, Request_type="Other")

    def close(self, ticket_id: str) -> None:
        self._people.set(ticket_id, Status=CLOSED)

    def ask_retry(self, ticket_id: str) -> None:
        self._people.set(ticket_id, Status=STATUSES["retry"])

    def delete(self, ticket_id: str) -> None:
        self._people.set(ticket_id, by=ADMIN, Status="deleted")

    def write_as_person(self, ticket_id: str, text: str) -> None:
        body = {"Subject": text.splitlines()[-1], "Content": text, "ContentType": "text/plain"}
        self._people.done(HELPDESK, "POST", f"/ticket/{ticket_id}/comment", body)

    def notes(self, ticket_id: str) -> list[SeenNote]:
        query = {"fields": "TransactionId,Content", "per_page": "100"}
        rows = self._people.done(ADMIN, "GET", f"/ticket/{ticket_id}/attachments", query=query)["items"]
        texts = {str(row["TransactionId"]): str(row["Content"]) for row in rows}
        return [
            SeenNote(texts[str(line["id"])], public=line["Type"] == "Correspond")
            for line in self._people.history(ticket_id)
            if line["Type"] in ("Comment", "Correspond") and line["Creator"]["id"] == CONNECTOR
        ]

    def status(self, ticket_id: str) -> str:
        return self._people.status(ticket_id)

    def closed_status(self) -> str:
        return CLOSED

    def hand_off_status(self) -> str:
        return STATUSES["hand_off"]

    def alarm_status(self) -> str:
        return ALARM

    def for_alarms(self, *, status: bool = True, hand_off: bool = True, urgent: bool = True) -> Psa:
        statuses = {
            **STATUSES,
            "hand_off": self.hand_off_status() if hand_off else None,
            "alarm": ALARM if status else None,
        }
        return self._make(statuses=statuses, alarm={"priority": int(self.urgent)} if urgent else {})

    def priority(self, ticket_id: str) -> str:
        return str(self._people.done(ADMIN, "GET", f"/ticket/{ticket_id}")["Priority"])

    def changes(self, ticket_id: str) -> int:
        """Lines of its history: RT writes none for a change that changes nothing."""
        return len(self._people.history(ticket_id))

    def forbid_reopening(self) -> None:
        """The queue gets a life cycle in which what is resolved stays so."""
        self._people.done(ADMIN, "PUT", f"/queue/{quote(QUEUE)}", {"Lifecycle": "sealed"})

    def go_down(self) -> None:
        self._border.down = True

    def come_up(self) -> None:
        self._border.down = False

    def refuse(self) -> None:
        """A disabled user's token is refused with 401."""
        self._people.done(ADMIN, "PUT", f"/user/{CONNECTOR}", {"Disabled": 1})

    def lose_answer(self, to: Literal["note", "move"]) -> None:
        self._border.losing = {"note": "POST", "move": "PUT"}[to]


class ApprovedDesk(RequestTrackerDesk):
    """Every new ticket is approved at once: RT does not let us close one whose approval is open."""

    def add_ticket(
        self, *, subject: str = "dana@contoso.com", action: Action = Action.PASSWORD, reason: str = ""
    ) -> str:
        ticket = super().add_ticket(subject=subject, action=action, reason=reason)
        self.approve(ticket)
        return ticket


class RequestTrackerContract(PsaContract):
    """The contract, with what RT does differently for a reason."""

    many = 101

    @pytest.fixture
    def approved_desk(self, desk: RequestTrackerDesk) -> ContractDesk:
        return ApprovedDesk(desk._people, desk._border, desk._make, desk.tick)

    def test_a_move_brings_the_ticket_into_the_mapped_status_and_a_repeat_changes_nothing(  # type: ignore[override]
        self, approved_desk: ContractDesk
    ) -> None:
        super().test_a_move_brings_the_ticket_into_the_mapped_status_and_a_repeat_changes_nothing(approved_desk)

    def test_a_move_whose_answer_was_lost_may_be_repeated(  # type: ignore[override]
        self, approved_desk: ContractDesk
    ) -> None:
        super().test_a_move_whose_answer_was_lost_may_be_repeated(approved_desk)


def wait_for_the_next_second() -> None:
    """RT's clock shows whole seconds, and it is a real one."""
    now = time.time()
    time.sleep(1.02 - now % 1)
