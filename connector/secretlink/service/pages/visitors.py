"""Who is behind a request: address, place, browser. And a brake for those who try tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

from starlette.requests import Request

from connector.secretlink.agent import LONGEST_USER_AGENT, name_agent, suspect_of
from connector.secretlink.place import IpNetwork, Places, client_ip
from connector.secretlink.service.store.chain import Visitor

_MOST_UNKNOWN_TOKENS: Final = 30
_WINDOW: Final = timedelta(minutes=1)
_MOST_ADDRESSES: Final = 10_000


class Visitors:
    """Reads visitors off requests."""

    def __init__(self, places: Places, trusted_proxies: Sequence[IpNetwork]) -> None:
        self._places = places
        self._trusted = tuple(trusted_proxies)

    def of(self, request: Request) -> Visitor:
        """The visitor of a request; headers of strangers about their own address are not believed."""
        ip = client_ip(
            request.client.host if request.client else None,
            request.headers.getlist("x-forwarded-for"),
            self._trusted,
        )
        user_agent = _printable(request.headers.get("user-agent", ""))[:LONGEST_USER_AGENT] or None
        place = self._places.find(ip)
        network = place.network if place else self._places.network_of(ip)
        machine = suspect_of(user_agent, method=request.method)
        labels = [label for label in (machine, network) if label and label != "none"]
        return Visitor(
            ip=ip,
            place=place,
            user_agent=user_agent,
            agent=name_agent(user_agent),
            suspect=",".join(labels) or "none",
        )


class Brake(StrEnum):
    """What to do with one more unknown token."""

    FREE = "free"
    CROSSED = "crossed"
    BRAKED = "braked"


class UnknownTokenBrake:
    """Counts unknown tokens per address; of IPv6, where one line has 2**64 addresses, per line.

    Tokens cannot be guessed anyway (192 bits); this keeps noise off the machine and tells the operator about it. Known
    links are never braked, so one noisy machine behind a shared address locks nobody out.
    """

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def count(self, ip: str | None) -> Brake:
        """Count one more. `CROSSED` is answered once per address and minute, `BRAKED` for every further one."""
        now = self._clock()
        key = _line_of(ip)
        window = self._windows.get(key)
        # A clock that was set back begins anew as well, or people would wait until it has caught up.
        if window is None or not timedelta(0) <= now - window.began < _WINDOW:
            window = _Window(began=now, count=0)
        window = replace(window, count=window.count + 1)
        self._windows[key] = window
        self._windows.move_to_end(key)
        if len(self._windows) > _MOST_ADDRESSES:
            self._windows.popitem(last=False)
        if window.count <= _MOST_UNKNOWN_TOKENS:
            return Brake.FREE
        return Brake.CROSSED if window.count == _MOST_UNKNOWN_TOKENS + 1 else Brake.BRAKED


@dataclass(frozen=True)
class _Window:
    began: datetime
    count: int


def _line_of(ip: str | None) -> str:
    """What stands for everybody behind one line: the address, or the first 64 bits of an IPv6 one (RFC 6177)."""
    if not ip or ":" not in ip:
        return ip or ""
    return str(ip_network((ip, 64), strict=False))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(letter for letter in text if letter.isprintable())
