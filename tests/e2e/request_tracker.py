"""A real Request Tracker server for tests, and the people who work in it.

    with running_request_tracker() as server:
        desk = server.desk()
        ticket = desk.request("Password reset", "wanda@contoso.example")
        desk.approve(desk.approvals_of(ticket)[0])

The server is made by `rt5-setup.sh` in a fresh directory, listens on a free port of 127.0.0.1 and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
SETUP = Path(__file__).with_name("rt5-setup.sh")
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
MISSING = f"Request Tracker 5 is not installed. On Debian 12, run as root: {SETUP} install"
QUEUE = "Service Desk"
ODD_QUEUE = "O'Brien \\ Sons"
CONNECTOR = "svc-reset"
CONNECTOR_IN_COPENHAGEN = "svc-reset-cph"
HELPDESK = "hanna.helpdesk"
APPROVER = "anna.approver"
OTHER_APPROVER = "bob.approver"
OUTSIDER = "otto.outsider"
ADMIN = "root"
REQUESTER = "rita.requester"
MANAGER = "mona.manager"
TIMEOUT_SECONDS = 60
LOOK_EVERY_SECONDS = 0.25
"""How often whoever waits may ask: each look is some 50 ms of work for the server."""


def address_of(name: str) -> str:
    """Everybody's address is made of their user name."""
    return f"{name}@contoso.example"


def request_tracker_or_skip() -> None:
    """Skip with a sentence where RT is not installed; fail instead under `REQUIRE_ALL=1`."""
    if SERVER.exists() and shutil.which("sqlite3"):
        return
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        base_url: `http://127.0.0.1:<port>`, without `/REST/2.0`.
        tokens: An API token for each user name.
        custom_fields: The id of each custom field.
        home: Its own directory: `var/*.mbox` holds the mails it would have sent.
        nudge_token: What its scrip shows when it tells of a change; the scrip is only there where an address was given.
    """

    base_url: str
    tokens: Mapping[str, str] = field(repr=False)
    custom_fields: Mapping[str, int]
    home: Path
    port: int
    nudge_token: str = field(default="", repr=False)

    def desk(self) -> Desk:
        return Desk(self.base_url, self.tokens)

    def reset(self) -> None:
        """Back to the seed: no tickets, ids start at 1 again. Takes about 20 ms; the server goes on running."""
        _setup("reset", self.home, self.port)

    def stop(self) -> None:
        """An outage; `start` ends it."""
        _setup("stop", self.home, self.port)

    def start(self) -> None:
        _setup("start", self.home, self.port)

    def mails(self) -> str:
        """Everything that RT has mailed since the last reset."""
        return "\n".join(box.read_text(encoding="utf-8", errors="replace") for box in self.home.glob("var/*.mbox"))


class Desk:
    """What people do in Request Tracker, each with their own token."""

    def __init__(self, base_url: str, tokens: Mapping[str, str]) -> None:
        self.base_url = base_url
        self._tokens = tokens

    def call(
        self,
        who: str,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        *,
        if_match: str | None = None,
    ) -> tuple[int, Any]:
        """One call as `who`: the status, and the body where it is JSON."""
        answer = self._send(who, method, path, body, query, if_match)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    def etag(self, ticket: str, *, by: str = CONNECTOR) -> str:
        """The newest transaction of a ticket that `by` may see."""
        return self._send(by, "GET", f"/ticket/{ticket}").headers["ETag"]

    def _send(
        self,
        who: str,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> requests.Response:
        headers = {"Authorization": f"token {self._tokens[who]}", "Accept": "application/json"}
        return requests.request(
            method,
            f"{self.base_url}/REST/2.0{path}",
            headers={**headers, "If-Match": if_match} if if_match else headers,
            json=body,
            params=query,
            allow_redirects=False,
            timeout=TIMEOUT_SECONDS,
        )

    def done(
        self, who: str, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """The same, where nothing but success is expected."""
        status, answer = self.call(who, method, path, body, query)
        assert status in (200, 201), (who, method, path, status, answer)
        return answer

    def request(
        self,
        kind: str = "Password reset",
        subject: str = "wanda@contoso.example",
        *,
        requestor: str = address_of(REQUESTER),
        queue: str = QUEUE,
        reason: str = "",
        by: str = HELPDESK,
        title: str | None = None,
        **more: object,
    ) -> str:
        """A new ticket; the id. RT creates its approval in the same call, unless `kind` is `Other`."""
        fields = {"Request type": kind, "Target user": subject, "Reason": reason}
        body = {
            "Queue": queue,
            "Subject": title or f"{kind} for {subject}",
            "Requestor": requestor,
            "CustomFields": {name: value for name, value in fields.items() if value},
            **more,
        }
        return str(self.done(by, "POST", "/ticket", body)["id"])

    def approvals_of(self, ticket: str) -> list[str]:
        query = f"DependedOnBy = {ticket} AND Type = 'approval' AND Queue = '___Approvals'"
        return [row["id"] for row in self.done(ADMIN, "GET", "/tickets", query={"query": query})["items"]]

    def approve(self, approval: str, *, by: str = APPROVER, words: str = "") -> None:
        self._decide(approval, "resolved", by, words)

    def reject(self, approval: str, *, by: str = APPROVER, words: str = "") -> None:
        self._decide(approval, "rejected", by, words)

    def reopen(self, approval: str, *, by: str = APPROVER) -> None:
        """Withdraw a decision."""
        self.set(approval, by=by, Status="open")

    def set(self, ticket: str, *, by: str = HELPDESK, **fields: object) -> list[str]:
        """Change core fields: `Status`, `Queue`, `Requestor`, `MergeInto`. What RT said; it says 200 to refusals."""
        said: list[str] = self.done(by, "PUT", f"/ticket/{ticket}", fields)
        return said

    def fill(self, ticket: str, *, by: str = HELPDESK, **fields: str) -> None:
        """Change custom fields, written with underscores: `Target_user="x@contoso.example"`."""
        self.set(ticket, by=by, CustomFields={name.replace("_", " "): value for name, value in fields.items()})

    def status(self, ticket: str) -> str:
        return str(self.done(ADMIN, "GET", f"/ticket/{ticket}")["Status"])

    def owner(self, ticket: str) -> str:
        """The user name; `Nobody` where nobody has it."""
        return str(self.done(ADMIN, "GET", f"/ticket/{ticket}")["Owner"]["id"])

    def priority(self, ticket: str) -> int:
        return int(self.done(ADMIN, "GET", f"/ticket/{ticket}")["Priority"])

    def minutes(self, ticket: str) -> int:
        """What was booked on it."""
        return int(self.done(ADMIN, "GET", f"/ticket/{ticket}")["TimeWorked"])

    def history(self, ticket: str) -> list[dict[str, Any]]:
        fields = "Type,Field,OldValue,NewValue,Data,Creator,Created"
        query = {"fields": fields, "per_page": "100"}
        lines: list[dict[str, Any]] = self.done(ADMIN, "GET", f"/ticket/{ticket}/history", query=query)["items"]
        return lines

    def texts(self, ticket: str) -> list[str]:
        """The texts of everything written into a ticket, private notes included."""
        query = {"fields": "Content,ContentType", "per_page": "100"}
        rows = self.done(ADMIN, "GET", f"/ticket/{ticket}/attachments", query=query)["items"]
        return [str(row["Content"]) for row in rows]

    def _decide(self, approval: str, status: str, by: str, words: str) -> None:
        if words:
            body = {"Content": words, "ContentType": "text/plain", "Status": status}
            self.done(by, "POST", f"/ticket/{approval}/correspond", body)
        else:
            self.set(approval, by=by, Status=status)


@contextmanager
def running_request_tracker(under: Path | None = None, *, workers: int = 2, nudge: str = "") -> Iterator[Server]:
    """A fresh server, ready to answer; about four seconds.

    Args:
        under: Where its directory is made; default: the system's directory for temporary files. When run as root, the
            user `www-data` must be able to get there, which is not so for pytest's own directories.
        workers: How many calls it answers at once. Each must warm up: it reads its code when it is first needed.
        nudge: Where the scrip of docs/psa/requesttracker.md tells of changes; without it there is no such scrip.
    """
    home = Path(tempfile.mkdtemp(prefix="request-tracker-", dir=under))
    port = _free_port()
    try:
        _setup("init", home, port, workers, nudge)
        _setup("start", home, port, workers)
        facts = json.loads((home / "rt5.json").read_text(encoding="utf-8"))
        yield Server(facts["base_url"], facts["tokens"], facts["custom_fields"], home, port,
                     (home / "nudge.token").read_text(encoding="ascii"))  # fmt: skip
    finally:
        _setup("wipe", home, port)


def at_request_tracker(
    stage: Stage,
    server: Server,
    *,
    queue: str = QUEUE,
    settings: Mapping[str, Any] | None = None,
    section: Mapping[str, Any] | None = None,
    mapping: Mapping[str, Any] | None = None,
) -> None:
    """Start a stage's sandbox and write its files so that this server is the only PSA, with the mapping as shipped.

    Args:
        settings: Put over those of `connector.yaml`.
        section: Added to the section `psa.rt`; `mapping`: put over the shipped mapping.
    """
    stage.start_sandbox()
    tenant = {
        "tenant_id": stage.facts["tenants"]["contoso"]["tenant_id"],
        "clients": {"rt": [queue]},
        "approvers": [address_of(APPROVER)],
    }
    stage.settings = {"poll_every": "1s", **(settings or {})}
    stage.write_files()
    shipped = yaml.safe_load((ROOT / "mappings" / "requesttracker.yaml").read_text(encoding="utf-8"))
    shipped["requests"] = [{**one, "queue": queue, "reason": {"field": "Reason"}} for one in shipped["requests"]]
    (stage.folder / "requesttracker.yaml").write_text(yaml.safe_dump({**shipped, **(mapping or {})}), encoding="utf-8")
    (stage.folder / "rt.secret").write_text(server.tokens[CONNECTOR])
    (stage.folder / "rt-push.secret").write_text(server.nudge_token)
    config = json.loads((stage.folder / "connector.yaml").read_text(encoding="utf-8"))
    config["tenants"] = {"contoso": tenant}
    config["psa"] = {
        "rt": {
            "kind": "requesttracker",
            "url": server.base_url,
            "token": {"file": "rt.secret"},
            "mapping": "requesttracker.yaml",
            **(section or {}),
        }
    }
    (stage.folder / "connector.yaml").write_text(json.dumps(config), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _setup(command: str, home: Path, port: int, workers: int = 4, nudge: str = "") -> None:
    environment = {**os.environ, "RT5_HOME": str(home), "RT5_PORT": str(port), "RT5_WORKERS": str(workers),
                   "RT5_NUDGE_URL": nudge}  # fmt: skip
    done = subprocess.run(
        ["bash", str(SETUP), command], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"rt5-setup.sh {command} failed:\n{done.stderr[-2000:]}"
