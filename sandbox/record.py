"""A ring of what was asked and answered, without secrets, for tests that check the contract and count calls."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

SECRET_NAMES = frozenset(
    {
        "password",
        "newpassword",
        "client_secret",
        "client_assertion",
        "access_token",
        "refresh_token",
        "id_token",
        "temporaryaccesspass",
        # What the link services keep.
        "payload",
        "passphrase",
        "secret",
        "secret_value",
        # Signs the callbacks of ConnectWise.
        "signing_key",
        # Opens one vote of an approval of HaloPSA.
        "token",
    }
)
_NUMBER = re.compile(r"(?<=/)\d+(?=/|$)")
_GUID = re.compile(r"(?<=/)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=/|$)", re.IGNORECASE)
_USER = re.compile(r"(?<=/users/)[^/]+", re.IGNORECASE)


@dataclass(frozen=True)
class Exchange:
    """One request and its answer.

    `status` is None where the connection was cut. `template` is the path with its ids replaced by `{id}`. Bodies
    are parsed JSON or form fields where they are such, else text; secret values read `***`, of the same type.
    """

    system: str
    method: str
    url: str
    path: str
    template: str
    query: dict[str, str]
    request_headers: dict[str, str]
    request_body: Any
    status: int | None
    response_headers: dict[str, str]
    response_body: Any
    at: str
    milliseconds: float
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Record:
    """What was said. `throttled` counts the requests that were over a limit, by limit, tenant and application."""

    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=5000))
    by_system: Counter[str] = field(default_factory=Counter)
    by_call: Counter[str] = field(default_factory=Counter)
    batch_items: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)

    def add(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.by_system[exchange.system] += 1
        self.by_call[f"{exchange.method} {exchange.template}"] += 1

    def clear_counts(self) -> None:
        self.by_system.clear()
        self.by_call.clear()
        self.batch_items.clear()
        self.throttled.clear()

    def clear(self) -> None:
        self.exchanges.clear()
        self.clear_counts()


def template_of(path: str) -> str:
    """The path with every number, GUID and user name replaced by `{id}`."""
    return _NUMBER.sub("{id}", _GUID.sub("{id}", _USER.sub("{id}", path)))


def masked(value: Any) -> Any:
    """The same structure with every secret's text replaced; its type stays."""
    if isinstance(value, dict):
        return {
            key: "***" if key.lower() in SECRET_NAMES and isinstance(item, str) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value
