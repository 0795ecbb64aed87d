"""The sandbox's link services with our adapters before them, a clock, and a person without a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import requests

from connector.core.ports import LinkService
from connector.core.secret import Secret
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contracts.links import Watching

EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 "
    "Edg/156.0.0.0"
)
BRITISH = "81.2.69.142"
MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Clock:
    """A clock that goes only when told to."""

    def __init__(self) -> None:
        self.moment = MORNING

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Sandbox:
    """A gentle world and where it listens."""

    world: World
    addresses: Addresses
    clock: Clock


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    clock = Clock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield Sandbox(world, addresses, clock)


@dataclass
class Person:
    """Opens pages as a browser does, from a British address, through a proxy that says so."""

    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.trust_env = False
        self.http.headers.update({"User-Agent": EDGE, "X-Forwarded-For": BRITISH})

    def look(self, url: Secret) -> str:
        """The first page, and no further."""
        return self.http.get(url.reveal(), timeout=10).text

    def open_push(self, url: Secret) -> Secret | None:
        """Password Pusher: the page in front, then the link on it."""
        found = re.search(r'<a href="([^"]+)">', self.look(url))
        if found is None:
            return None
        base = "/".join(url.reveal().split("/")[:3])
        page = self.http.get(base + found[1], timeout=10).text
        return _inside(page, "pre")

    def open_secret(self, url: Secret) -> Secret | None:
        """OneTimeSecret: the page, then its button."""
        if "<form" not in self.look(url):
            return None
        return _inside(self.http.post(url.reveal(), data={"continue": "true"}, timeout=10).text, "textarea")


def _inside(page: str, element: str) -> Secret | None:
    found = re.search(rf"<{element}[^>]*>(.*?)</{element}>", page, re.DOTALL)
    return Secret(html.unescape(found[1])) if found else None


@dataclass
class OtherPost:
    """A `LinkPost`: one of the sandbox's services behind one of our adapters. Time passes with a poll at its end."""

    sandbox: Sandbox
    adapter: LinkService
    kind: str
    person: Person = field(default_factory=Person)
    links: Watching = field(init=False)

    def __post_init__(self) -> None:
        self.links = Watching(self.adapter)

    def now(self) -> datetime:
        return self.sandbox.clock()

    def pass_time(self, length: timedelta) -> None:
        self.sandbox.clock.moment += length
        self.links.news("")

    def open(self, url: Secret) -> Secret | None:
        return self.person.open_push(url) if self.kind == "passwordpusher" else self.person.open_secret(url)

    def look(self, url: Secret) -> None:
        self.person.look(url)

    def go_down(self) -> None:
        self.fault("cut_before")

    def refuse_key(self) -> None:
        self.fault("status", status=401)

    def fault(self, kind: str, *, match: str = "", times: int = 0, **more: object) -> None:
        """Trouble of the service, until `repair` (or so many times)."""
        body = {"system": self.kind, "kind": kind, "match": match, "times": times, **more}
        answer = requests.post(f"{self.sandbox.addresses.control}/control/faults", json=body, timeout=10)
        assert answer.ok, answer.text

    def repair(self) -> None:
        assert requests.delete(f"{self.sandbox.addresses.control}/control/faults", timeout=10).ok
