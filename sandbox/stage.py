"""A whole stage: sandbox, link service and connector as real processes, with their files in one folder.

Used by the demo, the end-to-end tests and the measurements. The connector is only ever started as a program; nothing
of it is imported here.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60.0
STOP_SECONDS = 30.0
CUSTOMERS = {"halo": "clients", "connectwise": "companies"}
"""By PSA, the key of a tenant's customers there in the sandbox's ready file."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method: str, url: str, body: object | None = None, *, headers: Mapping[str, str] | None = None) -> Any:
    """One JSON call; the answer's JSON, or its text where it is none.

    Raises:
        urllib.error.HTTPError: The answer is an error.
    """
    request = urllib.request.Request(  # noqa: S310 - loopback addresses only
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    with _OPENER.open(request, timeout=30) as answer:
        text = answer.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


def free_port() -> int:
    """A port of the loopback address that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], *, seconds: float = START_SECONDS, every: float = 0.05) -> Any:
    """Ask until the answer is true; that answer.

    Raises:
        TimeoutError: It never was.
    """
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(every)


def open_link(url: str) -> tuple[int, str]:
    """Open a link like a person with a browser does: page, pause, proceed, pause, show.

    Returns:
        The last status and the password (empty when there was none).
    """
    try:
        page = str(call("GET", url))
        challenge = _found(r'data-challenge="([^"]+)"', page)
        if not challenge:
            return 410, ""
        deliberate = {"X-Reveal": "1"}
        time.sleep(0.85)
        step = call("POST", f"{url}/step", {"challenge": challenge}, headers=deliberate)
        time.sleep(0.85)
        wish = {"challenge": step["challenge"], "nonce": secrets.token_urlsafe(18)}
        return 200, str(call("POST", f"{url}/reveal", wish, headers=deliberate)["password"])
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, ""


def link_in(mail: Mapping[str, Any]) -> str:
    """The one-time link in a mail; empty when there is none."""
    return _found(r"(https?://\S+/s/[A-Za-z0-9_-]+)", str(mail["text"]))


def alarm_in(mail: Mapping[str, Any]) -> str:
    """The address behind "this was not me" in a mail; empty when there is none."""
    return _found(r"(https?://\S+/n/[A-Za-z0-9_-]+)", str(mail["text"]))


def press_alarm(url: str) -> int:
    """Say "this was not me" like a person with a browser does: page, pause, go on, pause, say it. The last status."""
    try:
        page = str(call("GET", url))
        challenge = _found(r'data-challenge="([^"]+)"', page)
        if not challenge:
            return 410
        deliberate = {"X-Reveal": "1"}
        time.sleep(0.85)
        step = call("POST", f"{url}/step", {"challenge": challenge}, headers=deliberate)
        time.sleep(0.85)
        call("POST", f"{url}/raise", {"challenge": step["challenge"]}, headers=deliberate)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return 200


@dataclass
class Stage:
    """Where a play is given. Use as a context manager; leaving it ends every process that it started.

    Attributes:
        folder: Databases, configuration, secrets and logs.
        gentle: Whether the sandbox does without its unkindness.
        sandbox_options: More words for `python -m sandbox`.
        settings, links_settings: What is put over the defaults of `connector.yaml` and `links.yaml` (top-level keys).
        environ: More environment for the connector's processes.
        psas: Which of the imitated PSAs the connector works for: `halo`, `connectwise` or both.
    """

    folder: Path
    gentle: bool = True
    sandbox_options: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    links_settings: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    psas: tuple[str, ...] = ("halo",)
    facts: dict[str, Any] = field(default_factory=dict)
    links_port: int = field(default_factory=free_port)
    inbound_port: int = field(default_factory=free_port)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._processes)):
            self.stop(name)

    # -- processes

    def start_all(self) -> None:
        """Sandbox, link service and connector, each answering."""
        self.start_sandbox()
        self.write_files()
        self.start_links()
        self.start_connector()

    def start_sandbox(self) -> None:
        ready = self.folder / "sandbox.json"
        ready.unlink(missing_ok=True)
        gentle = ("--gentle",) if self.gentle else ()
        self._start("sandbox", [sys.executable, "-m", "sandbox", "--ready-file", str(ready), *gentle,
                                *self.sandbox_options])  # fmt: skip

        def read() -> Any:
            self._alive("sandbox")
            try:
                return json.loads(ready.read_text())
            except (OSError, ValueError):
                return None

        self.facts = wait_for("the start of the sandbox", read)

    def start_links(self) -> None:
        self._start("links", [*self.program("links.yaml"), "serve-links"])
        self._wait_for_answer("links", f"http://127.0.0.1:{self.links_port}/healthz")

    def start_connector(self, *, wait: bool = True) -> None:
        self._start("connector", [*self.program("connector.yaml"), "run"])
        if wait:
            self._wait_for_answer("connector", f"http://127.0.0.1:{self.inbound_port}/healthz")

    def stop(self, name: str) -> int:
        """End one process in good order. Returns its exit code."""
        process = self._processes.pop(name, None)
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self, name: str) -> None:
        """End one process at once, as a power cut would."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def program(self, config: str) -> list[str]:
        """The connector's command line, up to the command."""
        return [sys.executable, "-m", "connector", "--config", str(self.folder / config)]

    def connector(self, *words: str, config: str = "connector.yaml") -> subprocess.CompletedProcess[str]:
        """Run one command of the connector to its end."""
        return subprocess.run(  # noqa: S603 - our own program
            [*self.program(config), *words],
            capture_output=True, text=True, timeout=120, check=False, env=self._environment,
        )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    # -- the sandbox's control

    def control(self, method: str, path: str, body: object | None = None) -> Any:
        return call(method, f"{self.facts['control']}/control{path}", body)

    def raise_ticket(self, kind: str, subject: str, requester: str, **more: Any) -> int:
        """Raise a ticket at the imitated HaloPSA. Returns its number."""
        ticket = {"type": kind, "client_id": 12, "requester": requester, "subject": subject, **more}
        return int(self.control("POST", "/tickets", ticket)["id"])

    def mails(self, ticket: int | None = None) -> list[dict[str, Any]]:
        mails: Any = self.control("GET", "/mails")
        mails = mails["mails"] if isinstance(mails, dict) else mails
        return [mail for mail in mails if ticket is None or f"#{ticket}" in mail["subject"]]

    def ticket(self, number: int) -> dict[str, Any]:
        ticket: dict[str, Any] = self.control("GET", f"/tickets/{number}")
        return ticket

    def case(self, number: int) -> dict[str, Any]:
        """What `connector show --json` says of a ticket."""
        done = self.connector("show", str(number), "--json")
        if done.returncode:
            raise LookupError(done.stderr)
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    # -- files

    def write_files(self) -> None:
        """Write configuration and secrets; every secret is made now."""
        folder, facts = self.folder, self.facts
        for name, value in {
            "halo": facts["halo_client_secret"],
            "connectwise": facts["connectwise_private_key"],
            "graph": facts["graph_client_secret"],
            "graph-mfa": facts["graph_mfa_client_secret"],
            "smtp": facts["smtp"]["password"],
            "api-key": f"sl_stage_{secrets.token_urlsafe(32)}",
            "pepper": secrets.token_urlsafe(48),
        }.items():
            path = folder / f"{name}.secret"
            path.write_text(value)
            path.chmod(0o600)
        self.write_mapping()
        support = {
            "name": "Example Service Desk",
            "phone": "+44 20 7946 0000",
            "url": "https://portal.example.com",
            "time_zone": "Europe/London",
        }
        links_url = f"http://127.0.0.1:{self.links_port}"
        settings: dict[str, Any] = {
            "environment": "demo",
            "database": f"sqlite:///{(folder / 'connector.db').as_posix()}",
            "poll_every": "1s",
            "inbound": {"listen": f"127.0.0.1:{self.inbound_port}"},
            "http": {"ca_bundle": facts["ca_bundle"]},
            "psa": {name: section for name, section in psa_sections(facts).items() if name in self.psas},
            "graph": {"client_id": facts["graph_client_id"], "client_secret": {"file": "graph.secret"},
                      "authority": facts["authority"], "url": facts["graph"]},
            "tenants": {
                name: {
                    "tenant_id": tenant["tenant_id"],
                    "clients": {name: tenant[CUSTOMERS[name]] for name in self.psas},
                    "approvers": tenant["approvers"],
                    "protected": {"groups": [i for n, i in tenant["groups"].items() if n == "Do not reset"]},
                }
                for name, tenant in facts["tenants"].items()
            },
            "links": {"kind": "builtin", "url": links_url, "api_key": {"file": "api-key.secret"}},
            "mail": {"kind": "smtp", "host": facts["smtp"]["host"], "port": facts["smtp"]["port"], "starttls": True,
                     "username": facts["smtp"]["username"], "password": {"file": "smtp.secret"},
                     "from": "Example Service Desk <support@example.com>"},
            "support": support,
        }  # fmt: skip
        for key, value in self.settings.items():
            known = settings.get(key)
            settings[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        # JSON is YAML; it needs no writer of its own.
        (folder / "connector.yaml").write_text(json.dumps(settings, indent=2))
        links = {
            "database": f"sqlite:///{(folder / 'links.db').as_posix()}",
            "listen": f"127.0.0.1:{self.links_port}",
            "url": links_url,
            "pepper": {"file": "pepper.secret"},
            "api_keys": [{"file": "api-key.secret"}],
            "support": support,
            **self.links_settings,
        }
        (folder / "links.yaml").write_text(json.dumps(links, indent=2))

    def write_mapping(self) -> None:
        """The project's own mappings, unchanged."""
        for name in ("halopsa.yaml", "connectwise.yaml"):
            mapping = Path(__file__).parent.parent / "mappings" / name
            (self.folder / name).write_text(mapping.read_text(encoding="utf-8"), encoding="utf-8")

    # -- inside

    @property
    def _environment(self) -> dict[str, str]:
        quiet = {"PYTHONUNBUFFERED": "1", "COLUMNS": os.environ.get("COLUMNS", "120")}
        return {**os.environ, **quiet, **self.environ}

    def _start(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own programs
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
            )

    def _alive(self, name: str) -> None:
        code = self._processes[name].poll()
        if code is not None:
            raise RuntimeError(f"{name} ended with exit code {code}:\n{self.log(name)[-3000:]}")

    def _wait_for_answer(self, name: str, url: str) -> None:
        def answers() -> bool:
            self._alive(name)
            try:
                call("GET", url)
            except urllib.error.HTTPError as refusal:
                refusal.close()
                return False
            except OSError:
                return False
            return True

        wait_for(f"the start of {name}", answers)


def psa_sections(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `connector.yaml` says of each imitated PSA; secrets lie in files beside it."""
    # The sandbox is ours alone and polled every second; real ones allow far less.
    budget = {"share": "100%", "calls": 100_000, "per": "1m"}
    return {
        "halo": {
            "kind": "halopsa",
            "url": facts["halo"],
            "client_id": facts["halo_client_id"],
            "client_secret": {"file": "halo.secret"},
            "mapping": "halopsa.yaml",
            "budget": budget,
        },
        "connectwise": {
            "kind": "connectwise",
            "url": facts["connectwise"],
            "company": facts["connectwise_company"],
            "public_key": facts["connectwise_public_key"],
            "private_key": {"file": "connectwise.secret"},
            "client_id": facts["connectwise_client_id"],
            "mapping": "connectwise.yaml",
            "budget": budget,
        },
    }


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""
