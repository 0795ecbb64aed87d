"""A small imitation of Deskbook 1, a ticket system made up for docs/adding-a-psa.md.

It shares no code with the adapter: a shared misunderstanding would pass both sides. Like a real one it is unkind: pages
are short, dates are whole seconds, a deleted ticket is 404 and a merged one 410, a changed ticket moves to the end of
its list. Every answer bears `X-Sandbox`, so that no connector in production can take it for a real one.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PAGE = 50
START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
KINDS = {"1": "Password reset", "2": "MFA reset", "3": "Account reset", "9": "Printer"}
FIELDS = ("Account", "What", "Why")
STATUSES = {"1": "New", "2": "Needs a person", "3": "Try again", "4": "Done", "5": "Alarm"}
PRIORITIES = {"1": "Low", "2": "Normal", "3": "Urgent"}
ENDED = {"4"}
RITA = {"id": 1, "name": "Rita", "email": "rita@contoso.example.com"}
ANNA = {"id": 2, "name": "Anna", "email": "anna@contoso.example.com"}
HUGO = {"id": 3, "name": "Hugo", "email": "hugo@msp.example.com"}


@dataclass
class Ticket:
    """A ticket, its times in whole seconds; a test may change any of it."""

    id: str
    kind: str
    fields: dict[str, str]
    created: datetime
    changed: datetime
    revision: int
    status: str = "1"
    priority: str = "2"
    logged_by: dict[str, Any] | None = None
    merged_into: str = ""
    deleted: bool = False
    asked: list[dict[str, Any]] = field(default_factory=lambda: [ANNA])
    votes: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return {"id": int(self.id), "revision": self.revision, "changed": self.changed.isoformat()}

    def whole(self) -> dict[str, Any]:
        return {
            **self.row(),
            "kind": int(self.kind),
            "title": "Please help",
            "created": self.created.isoformat(),
            "status": {"id": int(self.status), "name": STATUSES[self.status], "ended": self.status in ENDED},
            "priority": {"id": int(self.priority), "name": PRIORITIES[self.priority]},
            "customer": {"id": 12, "name": "Contoso"},
            "raised_by": RITA,
            "logged_by": self.logged_by,
            "fields": self.fields,
            "vote": {"asked": self.asked, "votes": self.votes},
            "history": self.history,
        }


class FakeDeskbook:
    """What a Deskbook holds, and its clock.

    Attributes:
        rights: Of the one key.
        down: It answers 503.
        loses: The next write of this method has its effect, and its answer is lost.
        ignores_moves: It answers a change of status with 200 and keeps the old one.
        keeps_closed: It refuses (409) to bring an ended ticket into another status.
        calls: Method and address of each call.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.now = START
        self.tickets: dict[str, Ticket] = {}
        self.rights = ["read", "note", "move"]
        self.down = self.ignores_moves = self.keeps_closed = False
        self.loses = ""
        self.calls: list[tuple[str, str]] = []
        self._ids = itertools.count(4242)
        self._votes = itertools.count(1)
        self.lock = threading.RLock()

    # -- what people do

    def raise_ticket(self, kind: str, **fields: str) -> str:
        ticket = str(next(self._ids))
        self.tickets[ticket] = Ticket(ticket, kind, fields, self.now, self.now, revision=1)
        return ticket

    def set_status(self, ticket: str, status: str) -> None:
        self.tickets[ticket].status = status
        self.touch(ticket)

    def vote(
        self,
        ticket: str,
        *,
        yes: object = True,
        by: Mapping[str, Any] = ANNA,
        entered_by: Mapping[str, Any] | None = None,
        words: str = "",
    ) -> dict[str, Any]:
        vote = {
            "id": next(self._votes),
            "by": dict(by),
            "entered_by": dict(entered_by or by),
            "yes": yes,
            "at": self.now.isoformat(),
            "words": words,
            "withdrawn": False,
        }
        self.tickets[ticket].votes.append(vote)
        self.touch(ticket)
        return vote

    def set_field(self, ticket: str, name: str, text: str) -> None:
        self.tickets[ticket].fields[name] = text
        self.tickets[ticket].history.append({"field": name, "at": self.now.isoformat()})
        self.touch(ticket)

    def set_kind(self, ticket: str, kind: str) -> None:
        self.tickets[ticket].kind = kind
        self.tickets[ticket].history.append({"field": "kind", "at": self.now.isoformat()})
        self.touch(ticket)

    def touch(self, ticket: str) -> None:
        self.tickets[ticket].changed = self.now
        self.tickets[ticket].revision += 1

    # -- what programs ask

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        match method, path.removeprefix("/api/").split("/"):
            case "GET", ["me"]:
                return 200, {"login": "connector", "rights": self.rights}
            case "GET", ["kinds"]:
                return 200, [{"id": int(key), "name": name} for key, name in KINDS.items()]
            case "GET", ["kinds", _, "fields"]:
                return 200, [{"id": number, "name": name} for number, name in enumerate(FIELDS)]
            case "GET", ["statuses"]:
                return 200, [{"id": int(key), "name": name} for key, name in STATUSES.items()]
            case "GET", ["tickets"]:
                return 200, self._list(query)
            case "GET", ["priorities"]:
                return 200, [{"id": int(key), "name": name} for key, name in PRIORITIES.items()]
            case _, ["tickets", key, *rest]:
                ticket = self.tickets.get(key)
                if ticket is None or ticket.deleted:
                    return 404, {"error": "no such ticket"}
                if ticket.merged_into:
                    return 410, {"merged_into": ticket.merged_into}
                return self._ticket(method, ticket, rest, body)
        return 404, {"error": "no such address"}

    def _ticket(self, method: str, ticket: Ticket, rest: list[str], body: Any) -> tuple[int, Any]:
        match method, rest:
            case "GET", []:
                return 200, ticket.whole()
            case "PATCH", []:
                if self.keeps_closed and ticket.status in ENDED:
                    return 409, {"error": "this ticket has ended"}
                if not self.ignores_moves:
                    ticket.priority = str(body.get("priority", ticket.priority))
                    self.set_status(ticket.id, str(body["status"]))
                return 200, ticket.whole()
            case "GET", ["notes"]:
                return 200, ticket.notes
            case "POST", ["notes"]:
                ticket.notes.append(dict(body))
                self.touch(ticket.id)
                return 201, {}
        return 404, {"error": "no such address"}

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        by = "created" if query.get("order") == "created" else "changed"

        def key(one: Ticket) -> tuple[str, int]:
            return (one.created if by == "created" else one.changed).isoformat(), int(one.id)

        found = sorted((one for one in self.tickets.values() if self._is_found(one, query)), key=key)
        if after := query.get("after"):
            moment, _, number = after.rpartition("/")
            found = [one for one in found if key(one) > (moment, int(number))]
        page = found[:PAGE]
        following = "/".join(map(str, key(page[-1]))) if len(found) > PAGE else None
        return {"tickets": [one.row() for one in page], "next": following, "now": self.now.isoformat()}

    @staticmethod
    def _is_found(ticket: Ticket, query: Mapping[str, str]) -> bool:
        if ticket.deleted or ticket.merged_into or ticket.kind not in query["kind"].split(","):
            return False
        if query.get("open") == "yes" and ticket.status in ENDED:
            return False
        changed, created = (query.get(name) for name in ("changed_since", "created_since"))
        return (not changed or ticket.changed >= datetime.fromisoformat(changed)) and (
            not created or ticket.created >= datetime.fromisoformat(created)
        )

    def tick(self) -> None:
        self.now += timedelta(seconds=1)


def serve(deskbook: FakeDeskbook) -> ThreadingHTTPServer:
    """Answer on a free port of this machine, in a thread, until `shutdown` and `server_close`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            address = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with deskbook.lock:
                deskbook.calls.append((self.command, self.path))
                status: int
                body: Any
                if deskbook.down:
                    status, body = 503, {}
                elif self.headers.get("Authorization") != f"Bearer {deskbook.key}":
                    status, body = 401, {}
                else:
                    query = dict(parse_qsl(address.query))
                    status, body = deskbook.answer(self.command, address.path, query, json.loads(raw or b"null"))
                if deskbook.loses == self.command:
                    deskbook.loses = ""
                    self.close_connection = True
                    return
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("X-Sandbox", "fake_deskbook")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the base class looks for these names

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
