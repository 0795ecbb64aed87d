"""All customers' tenants as one `Directory`. Delegates: `directory` reads, `reset` writes, `check` looks over."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol, Self

from connector.adapter import Surroundings
from connector.config import GraphSection, RegistrationSection, TenantSection
from connector.core.address import checked_address
from connector.core.case import Action, Person, fold
from connector.core.ports import Account, Clock, Finding, Level, MethodsReport, Receipt, SessionsReport
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError
from connector.graph.check import CheckedApp, TenantCheck, credential_line
from connector.graph.client import GraphClient
from connector.graph.credential import Credential, read_credential
from connector.graph.directory import Lookup
from connector.graph.facts import object_id
from connector.graph.methods import KINDS
from connector.graph.permissions import sets_of
from connector.graph.report import CredentialLine, TenantReport, credential_findings
from connector.graph.reset import Resetter
from connector.graph.signin import App, Registration, SignIn
from connector.http import Http
from connector.pacing import Pace

METHOD_CALLS = 5
METHOD_WINDOW = timedelta(seconds=11)
"""Microsoft counts 5 calls in 10 s, by the moment they arrive; a second more, because they do not travel equally fast.
Source: learn.microsoft.com/graph/throttling-limits, read 2026-11-22."""

DOMAINS_COUNT_FOR = timedelta(hours=24)
MOST_TENANTS_ASKED = 10


class MakesHttp(Protocol):
    """`Surroundings.http_for`, or a test's own."""

    def __call__(self, *, system: str, scope: str) -> Http: ...


class GraphDirectory:
    """Implements `connector.core.ports.Directory`. Safe to share between threads; one object per process.

    Every tenant has its own sign-in, pace and locks, so that one tenant never waits for another. Nothing is sent
    before the first call that needs it.

    Args:
        keep: Authentication methods that a reset leaves in place, unless the tenant says otherwise.

    Raises:
        ConfigError: The certificate, an address or a protected group is wrong; every problem at once.
    """

    def __init__(
        self,
        graph: GraphSection,
        tenants: Mapping[str, TenantSection],
        *,
        http_for: MakesHttp,
        clock: Clock,
        keep: Collection[str] = (),
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        problems = list(_problems(graph, tenants))
        apps: list[tuple[Registration, Credential]] = []
        for registration, registered, place in _apps(graph):
            try:
                apps.append((registration, read_credential(registered, section=place)))
            except ConfigError as failure:
                problems.extend(failure.problems)
        if problems:
            raise ConfigError(problems)
        self._credentials = tuple(credential for _, credential in apps)
        self._tenants: dict[str, _Tenant] = {}
        for name, section in tenants.items():
            # Each app of each tenant signs in by itself: own cache, own connections, own turns.
            signed: list[CheckedApp] = []
            for registration, credential in apps:
                sign_in = SignIn(
                    tenant=name,
                    tenant_id=section.tenant_id,
                    settings=registration,
                    credential=credential,
                    http=http_for(system="Microsoft sign-in", scope=f"tenant.{name}"),
                    clock=clock,
                )
                http = http_for(system="Microsoft Graph", scope=f"tenant.{name}")
                client = GraphClient(url=graph.url, sign_in=sign_in, http=http, app=credential.section)
                sets = sets_of(main=not signed, alone=len(apps) == 1)
                signed.append(CheckedApp(registration, credential, sets, sign_in, client))
            client = signed[0].client
            # Connections of its own: a throttle of sign-in methods is theirs alone, and stops no password.
            methods_client = GraphClient(
                url=graph.url,
                sign_in=signed[-1].sign_in,
                http=http_for(system="Microsoft Graph (sign-in methods)", scope=f"tenant.{name}"),
                app=signed[-1].credential.section,
            )
            kept = section.mfa.keep if section.mfa is not None else keep
            pace = Pace(METHOD_CALLS, METHOD_WINDOW, now=now, sleep=sleep)
            self._tenants[name] = _Tenant(
                Lookup(tenant=name, client=client, protected=section.protected),
                Resetter(
                    client=client,
                    methods_client=methods_client,
                    pace=pace,
                    now=now,
                    sleep=sleep,
                    keep=kept,
                ),
                TenantCheck(
                    tenant=name,
                    tenant_id=section.tenant_id,
                    apps=signed,
                    kept=[KINDS[f"{kind}AuthenticationMethod"].permission for kind in kept],
                    clock=clock,
                ),
                pace,
            )

    @classmethod
    def from_settings(
        cls,
        graph: GraphSection,
        tenants: Mapping[str, TenantSection],
        surroundings: Surroundings,
        *,
        keep: Collection[str] = (),
    ) -> Self:
        """The directory of a configuration."""
        return cls(graph, tenants, http_for=surroundings.http_for, clock=surroundings.clock, keep=keep)

    def find(self, tenant: str, address: str) -> Account:
        """See `Directory.find`. Two calls."""
        return self._at(tenant).lookup.find(address)

    def read(self, tenant: str, account_id: str) -> Account:
        """See `Directory.read`. One call."""
        return self._at(tenant).lookup.read(account_id)

    def home_of(self, address: str) -> str:
        """See `Directory.home_of`. A call for each tenant that was not asked within the last day, ten at most."""
        domain = fold(address).rpartition("@")[2]
        asked = 0
        for name, at in self._tenants.items():
            domains = at.remembered_domains(self._clock())
            if domains is None and asked < MOST_TENANTS_ASKED:
                asked += 1
                domains = at.ask_domains(self._clock())
            if domain and domain in (domains or ()):
                return name
        return ""

    def can_help_itself(self, tenant: str, account_id: str) -> bool | None:
        """See `Directory.can_help_itself`. One call, and none without the permission for it."""
        at = self._at(tenant)
        try:
            # The report shares its five calls with the removal of methods, which must not wait for a hint.
            if not at.lookup.may_read_reports() or not at.pace.try_turn():
                return None
            return at.lookup.can_help_itself(account_id)
        except (TemporaryError, AuthenticationError, PermanentError):
            return None

    def manager_of(self, tenant: str, account_id: str) -> Person | None:
        """See `Directory.manager_of`. One call."""
        return self._at(tenant).lookup.manager_of(account_id)

    def ready(self, tenant: str, action: Action) -> None:
        """See `Directory.ready`. No call."""
        known = self._tenants.get(tenant)  # one that is gone from the configuration is the fresh look's to tell
        if known is not None:
            known.resetter.ready(action)

    def set_password(self, tenant: str, account_id: str, password: Secret) -> Receipt:
        """See `Directory.set_password`. One call."""
        return self._at(tenant).resetter.set_password(account_id, password)

    def remove_methods(self, tenant: str, account_id: str) -> MethodsReport:
        """See `Directory.remove_methods`. One call per method and two listings, five in 11 s for all of a tenant."""
        return self._at(tenant).resetter.remove_methods(account_id)

    def revoke_sessions(self, tenant: str, account_id: str) -> SessionsReport:
        """See `Directory.revoke_sessions`. One call."""
        return self._at(tenant).resetter.revoke_sessions(account_id)

    def check(self, tenant: str) -> Iterable[Finding]:
        """See `Directory.check`: the findings of `report`, and those about the credentials. Raises nothing of ours."""
        yield from credential_findings(self.credentials())
        try:
            yield from self.report(tenant).findings
        except ConfigError as failure:
            yield Finding(Level.ERROR, f"tenants.{tenant}", str(failure))

    def report(
        self, tenant: str, *, actions: Collection[Action] | None = None, sends_mail: bool = False
    ) -> TenantReport:
        """Everything that can be told about a tenant; see `TenantCheck.report`.

        Raises:
            ConfigError: There is no such tenant in the configuration.
        """
        return self._at(tenant).check.report(actions=actions, sends_mail=sends_mail)

    def credentials(self) -> tuple[CredentialLine, ...]:
        """What the app registrations prove themselves with, and how long each lasts. Asks nobody."""
        return tuple(credential_line(credential, self._clock) for credential in self._credentials)

    def _at(self, tenant: str) -> _Tenant:
        known = self._tenants.get(tenant)
        if known is None:
            raise ConfigError(f"tenants.{tenant} is not configured. Add it, or correct the name.")
        return known


class _Tenant:
    def __init__(self, lookup: Lookup, resetter: Resetter, check: TenantCheck, pace: Pace) -> None:
        self.pace = pace
        self.lookup = lookup
        self.resetter = resetter
        self.check = check
        self._domains: tuple[frozenset[str], datetime] | None = None

    def remembered_domains(self, now: datetime) -> frozenset[str] | None:
        known = self._domains  # one reading of one reference: threads may replace it meanwhile
        return known[0] if known is not None and now - known[1] < DOMAINS_COUNT_FOR else None

    def ask_domains(self, now: datetime) -> frozenset[str]:
        """Remembered even where it failed: a tenant that is away is not asked again for each ticket."""
        try:
            domains = self.lookup.verified_domains()
        except (TemporaryError, AuthenticationError, PermanentError):
            domains = frozenset()
        self._domains = (domains, now)
        return domains


def _apps(graph: GraphSection) -> Iterable[tuple[Registration, RegistrationSection, str]]:
    """The apps that sign in: the one that does everything, or two; the one for sign-in methods comes last."""
    yield graph, graph, "graph"
    if graph.mfa is not None:
        yield App(graph.mfa.client_id, graph.authority, graph.url), graph.mfa, "graph.mfa"


def _is_address(text: str) -> bool:
    try:
        return bool(checked_address(text.strip()))
    except ValueError:
        return False


def _problems(graph: GraphSection, tenants: Mapping[str, TenantSection]) -> Iterable[str]:
    if not graph.authority.startswith("https://"):
        yield f"graph.authority: {graph.authority!r} must be https, in a demo too: Microsoft's library takes no other."
    for name, section in tenants.items():
        for user in section.protected.users:
            if not (object_id(fold(user)) or _is_address(user)):
                yield (
                    f"tenants.{name}.protected.users: {user!r} is neither one address nor an object id, so it would "
                    "protect nobody. Copy the user principal name or the object id from Entra."
                )
        for group in section.protected.groups:
            if not object_id(group.strip().casefold()):
                yield f"tenants.{name}.protected.groups: {group!r} is not an object id. Copy the group's id from Entra."
