"""Everything the imitated systems know, in one place and in memory.

The servers run in one thread with one event loop, so their handlers need no locks. A test may read a `World`
from its own thread; to change one while its servers run, it asks the control port.
"""

from __future__ import annotations

import secrets
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sandbox.applications import MFA, RESET, Application
from sandbox.desk import Desk
from sandbox.directory import Directory
from sandbox.faults import Faults
from sandbox.record import Record
from sandbox.tokens import Federation


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Mail:
    """A mail as it arrived. `via` is `smtp` or `graph`; `recipients` are the envelope's."""

    id: int
    at: str
    via: str
    sender: str
    recipients: list[str]
    subject: str
    text: str
    html: str
    message_id: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Credentials:
    """What the imitated systems accept, made new in every run and never written in the code."""

    halo_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    halo_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    graph_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    graph_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    graph_mfa_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    graph_mfa_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    smtp_user: str = "connector"
    smtp_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


@dataclass
class Limits:
    """How much is allowed. Zero switches a limit off.

    Sources, read 2026-11-22: HaloPSA Fair Use Policy kbid 1748 (500 requests per 3 minutes); learn.microsoft.com
    throttling-limits (authenticationMethod: 5 requests per 10 seconds per app and tenant).
    """

    halo_requests: int = 500
    halo_window_seconds: int = 180
    methods_requests: int = 5
    methods_window_seconds: int = 10
    halo_token_seconds: int = 3600
    graph_token_seconds: int = 3599


GENTLE_LIMITS = Limits(halo_requests=0, methods_requests=0)


@dataclass
class World:
    """The state behind all imitated systems.

    Args:
        seed: Decides ids and bad luck; the same seed gives the same world.
        gentle: No random unkindness and no throttling; targeted faults still work.
        now: The clock, so that tests can move it.
    """

    seed: int = 1
    gentle: bool = False
    now: Callable[[], datetime] = utc_now
    latency_seconds: float = 0.0
    credentials: Credentials = field(default_factory=Credentials)
    federation: Federation = field(default_factory=Federation, repr=False)
    limits: Limits = field(init=False)
    desk: Desk = field(init=False)
    directory: Directory = field(init=False)
    faults: Faults = field(init=False)
    record: Record = field(init=False)
    mails: list[Mail] = field(init=False)
    halo_tokens: dict[str, datetime] = field(init=False)
    _windows: dict[str, deque[datetime]] = field(init=False)
    _mail_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over: same credentials and seed, everything else as on the first day."""
        from sandbox import seed  # a seeded world imports this module's classes

        self.limits = Limits(**vars(GENTLE_LIMITS)) if self.gentle else Limits()
        self.directory = seed.directory(self.seed, now=self.now)
        known = self.credentials
        for key, client_id, secret in (
            (RESET, known.graph_client_id, known.graph_client_secret),
            (MFA, known.graph_mfa_client_id, known.graph_mfa_client_secret),
        ):
            federated = [self.federation.credential]
            self.directory.applications[key] = Application(key, client_id, secret, federated=federated)
        self.desk = seed.desk(self.directory, now=self.now)
        self.faults = Faults(seed=self.seed, gentle=self.gentle)
        self.record = Record()
        self.mails = []
        self.halo_tokens = {}
        self._windows = {}
        self._mail_count = 0

    def throttled(self, key: str, *, requests: int, window_seconds: int) -> int | None:
        """Count one request; the seconds to wait if it is one too many, else None."""
        if not requests:
            return None
        now = self.now()
        window = self._windows.setdefault(key, deque())
        while window and now - window[0] >= timedelta(seconds=window_seconds):
            window.popleft()
        if len(window) >= requests:
            return max(1, round((window[0] + timedelta(seconds=window_seconds) - now).total_seconds()))
        window.append(now)
        return None

    def deliver(
        self,
        *,
        via: str,
        sender: str,
        recipients: list[str],
        subject: str,
        text: str,
        html: str,
        message_id: str,
        headers: dict[str, str],
    ) -> Mail:
        """Put a mail into the box. Nothing is de-duplicated: the same mail twice is two mails."""
        self._mail_count += 1
        mail = Mail(
            id=self._mail_count,
            at=self.now().isoformat(),
            via=via,
            sender=sender,
            recipients=recipients,
            subject=subject,
            text=text,
            html=html,
            message_id=message_id,
            headers=headers,
        )
        self.mails.append(mail)
        return mail
