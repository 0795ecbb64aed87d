"""A running sandbox for these tests; every exchange that a test causes is checked against the vendors' contracts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import FILES, check_all, contracts_are_here, load_spec

ANNA, BEN, DANA, FARID = "anna@contoso.com", "ben@contoso.com", "dana@contoso.com", "farid@contoso.com"


class Clock:
    """A clock that goes only when told to, so that throttles and lifetimes need no waiting."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **delta: float) -> None:
        self.moment += timedelta(**delta)


def new_password() -> str:
    """A password that the imitated policy accepts, made anew each time."""
    return f"Aa1!{secrets.token_hex(8)}"


@dataclass
class Stage:
    """A world with its servers, and short ways to call them."""

    world: World
    addresses: Addresses
    http: requests.Session
    clock: Clock
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def control(self, method: str, path: str, **body: Any) -> Any:
        answer = self.http.request(method, f"{self.addresses.control}/control/{path}", json=body or None, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def ticket(self, **changes: Any) -> int:
        """Raise a password reset of Dana by Ben, with these changes; its number."""
        body = {"type": "Password Reset", "requester": BEN, "subject": DANA, "details": "locked out"} | changes
        return int(self.control("POST", "tickets", **body)["id"])

    def halo_token(self, **changes: str) -> requests.Response:
        known = self.world.credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": known.halo_client_id,
            "client_secret": known.halo_client_secret,
            "scope": "read:tickets edit:tickets read:customers",
        } | changes
        return self.http.post(f"{self.addresses.halo}/auth/token", data=form, timeout=10)

    def halo(self, method: str, path: str, **options: Any) -> requests.Response:
        if "halo" not in self.tokens:
            self.tokens["halo"] = self.halo_token().json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens['halo']}"} | options.pop("headers", {})
        url = f"{self.addresses.halo}/api/{path}"
        return self.http.request(method, url, headers=headers, timeout=10, **options)

    def connectwise(
        self, method: str, path: str, *, codebase: str = "v4_6_release", **options: Any
    ) -> requests.Response:
        known = self.world.credentials
        user = f"{known.connectwise_company}+{known.connectwise_public_key}"
        headers = {"clientId": known.connectwise_client_id} | options.pop("headers", {})
        url = f"{self.addresses.connectwise}/{codebase}/apis/3.0/{path}"
        login = options.pop("auth", (user, known.connectwise_private_key))
        return self.http.request(method, url, auth=login, headers=headers, timeout=10, **options)

    def connectwise_ticket(self, **changes: Any) -> int:
        """Raise a password reset of Dana by Ben in ConnectWise, with these changes; its number."""
        body = {"type": "Password Reset", "requester": BEN, "subject": DANA, "details": "locked out"} | changes
        return int(self.control("POST", "connectwise/tickets", **body)["id"])

    def graph_token(self, tenant: str = "contoso", **changes: str) -> requests.Response:
        known = self.world.credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": known.graph_client_id,
            "client_secret": known.graph_client_secret,
            "scope": f"{self.addresses.graph}/.default",
        } | changes
        found = self.world.directory.tenant(tenant)
        url = f"{self.addresses.authority}/{found.id if found else tenant}/oauth2/v2.0/token"
        return self.http.post(url, data=form, timeout=10, verify=str(self.addresses.ca_bundle))

    def graph(self, method: str, path: str, *, tenant: str = "contoso", **options: Any) -> requests.Response:
        if tenant not in self.tokens:
            self.tokens[tenant] = self.graph_token(tenant).json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}"} | options.pop("headers", {})
        url = f"{self.addresses.graph}/v1.0/{path}"
        return self.http.request(method, url, headers=headers, timeout=10, **options)

    def account(self, upn: str) -> Any:
        return self.control("GET", f"accounts/{upn}")

    def fault(self, system: str, kind: str, match: str = "", **more: Any) -> None:
        self.control("POST", "faults", system=system, kind=kind, match=match, **more)


@pytest.fixture(scope="session")
def _running() -> Iterator[tuple[World, Addresses, Clock]]:
    clock = Clock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


@pytest.fixture
def stage(_running: tuple[World, Addresses, Clock], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The world on its first day, gentle. Afterwards whatever was said is held against the contracts."""
    # These beat `verify` in requests and so would hide the sandbox's own certificate authority.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    world, addresses, clock = _running
    clock.moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    world.reset()
    with requests.Session() as http:
        yield Stage(world, addresses, http, clock)
    if contracts_are_here():
        specs = {system: load_spec(system) for system in FILES}
        problems = check_all(specs, [exchange.as_dict() for exchange in world.record.exchanges])
        assert not problems, "\n".join(problems)
