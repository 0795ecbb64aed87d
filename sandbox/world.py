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
from sandbox.connectwise_deliveries import Deliveries
from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.desk import Desk
from sandbox.directory import Directory
from sandbox.faults import Faults
from sandbox.onetimesecret_secrets import OneTimeSecrets
from sandbox.passwordpusher_pushes import Pushes
from sandbox.record import Record
from sandbox.tokens import Federation


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Mail:
    """A mail as it arrived.

    `via` is `smtp` or `graph`; `recipients` are the envelope's; `saved_to_sent`: a copy is in the sender's mailbox.
    """

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
    saved_to_sent: bool = False


@dataclass(frozen=True)
class Credentials:
    """What the imitated systems accept, made new in every run and never written in the code."""

    connectwise_company: str = "msp"
    connectwise_public_key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    connectwise_private_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    connectwise_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    halo_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    halo_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    graph_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    graph_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    graph_mfa_client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    graph_mfa_client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    passwordpusher_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    onetimesecret_username: str = "links@example.com"
    onetimesecret_token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    smtp_user: str = "connector"
    smtp_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


@dataclass
class Limits:
    """How much is allowed. Zero switches a limit off.

    Sources, read 2026-11-22: HaloPSA Fair Use Policy kbid 1748 (500 requests per 3 minutes); ConnectWise's Developer
    Guide (1,000 requests per minute); Password Pusher's rack-attack settings (120 a minute); learn.microsoft.com
    throttling-limits (authenticationMethod: 5 requests per 10 seconds per app and tenant).
    """

    halo_requests: int = 500
    halo_window_seconds: int = 180
    connectwise_requests: int = 1000
    connectwise_window_seconds: int = 60
    pushes_requests: int = 120
    methods_requests: int = 5
    methods_window_seconds: int = 10
    halo_token_seconds: int = 3600
    graph_token_seconds: int = 3599


GENTLE_LIMITS = Limits(halo_requests=0, connectwise_requests=0, pushes_requests=0, methods_requests=0)


@dataclass
class Habits:
    """How Microsoft behaves where it is not always the same, or where nobody knows how.

    `stale_seconds`: how long reads after a write show the former state; None leaves it to chance (never in a gentle
    world). `skew_seconds`: how far Microsoft's clock is ahead. `report_late_seconds`: how old the registration report
    is. `qr_code_in_v1`: whether v1.0 knows the address of QR code PINs. `default_wording`: which of the two
    refusals of a default method is given, 1 or 2; 0 leaves it to chance.
    """

    stale_seconds: float | None = None
    skew_seconds: float = 0
    report_late_seconds: float = 4 * 3600
    qr_code_in_v1: bool = True
    default_wording: int = 0


@dataclass
class World:
    """The state behind all imitated systems.

    Args:
        seed: Decides ids and bad luck; the same seed gives the same world.
        extra_tenants: How many customers there are besides Contoso and Fabrikam, with `extra_users` users each.
        gentle: No random unkindness and no throttling; targeted faults still work.
        now: The clock, so that tests can move it.
    """

    seed: int = 1
    gentle: bool = False
    now: Callable[[], datetime] = utc_now
    latency_seconds: float = 0.0
    extra_tenants: int = 0
    extra_users: int = 25
    credentials: Credentials = field(default_factory=Credentials)
    federation: Federation = field(default_factory=Federation, repr=False)
    limits: Limits = field(init=False)
    habits: Habits = field(init=False)
    desk: Desk = field(init=False)
    connectwise: ConnectWiseDesk = field(init=False)
    connectwise_url: str = field(init=False, default="")
    deliveries: Deliveries = field(init=False)
    directory: Directory = field(init=False)
    pushes: Pushes = field(init=False)
    secrets: OneTimeSecrets = field(init=False)
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
        from sandbox import connectwise_seed, crowd, people, seed  # a seeded world imports this module's classes

        self.limits = Limits(**vars(GENTLE_LIMITS)) if self.gentle else Limits()
        self.habits = Habits()
        self.directory = seed.directory(self.seed, now=self.now)
        known = self.credentials
        for key, client_id, secret in (
            (RESET, known.graph_client_id, known.graph_client_secret),
            (MFA, known.graph_mfa_client_id, known.graph_mfa_client_secret),
        ):
            federated = [self.federation.credential]
            self.directory.applications[key] = Application(key, client_id, secret, federated=federated)
        self.desk = seed.desk(self.directory, now=self.now)
        people.settle(self.directory, self.seed, now=self.now())
        crowd.add_customers(
            self.directory, self.desk, self.seed, count=self.extra_tenants, users=self.extra_users, now=self.now()
        )
        self.deliveries = Deliveries(
            lambda: self.connectwise, lambda: self.connectwise_url, known.connectwise_company, lambda: self.faults
        )
        self.connectwise = connectwise_seed.connectwise(self.directory, now=self.now, announce=self.deliveries.announce)
        self.pushes = Pushes(now=self.now)
        self.secrets = OneTimeSecrets(now=self.now)
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
            self.record.throttled[key] += 1
            return max(1, round((window[0] + timedelta(seconds=window_seconds) - now).total_seconds()))
        window.append(now)
        return None

    def microsofts_now(self) -> datetime:
        """What Microsoft writes down as the time of a change."""
        return self.now() + timedelta(seconds=self.habits.skew_seconds)

    def shown_from(self) -> datetime:
        """From when reads show what is written now."""
        stale = self.habits.stale_seconds
        if stale is None:
            stale = 2.0 if self.faults.chance("a slow replica", 0.15) else 0.0
        return self.now() + timedelta(seconds=stale)

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
        saved_to_sent: bool = False,
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
            saved_to_sent=saved_to_sent,
        )
        self.mails.append(mail)
        return mail
