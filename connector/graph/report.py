"""What `connector check` knows of one tenant, as values. Printed by the command line, and whole in `--json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connector.core.ports import Finding, Level
from connector.graph.comparison import PermissionLine, Standing
from connector.graph.permissions import Need


@dataclass(frozen=True)
class CredentialLine:
    """What an app registration proves itself with.

    Attributes:
        place: Where it is configured: `graph.certificate`.
        kind: `client_secret`, `certificate`, `certificate_pfx` or `federated`.
        days_left: Whole days until it ends, negative afterwards; `None` where its end is not known or it has none.
    """

    place: str
    kind: str
    days_left: int | None


@dataclass(frozen=True)
class RoleLine:
    """A directory role of the app itself in the tenant.

    Attributes:
        id: Its template id.
        scope: Where it holds: `/` for the whole tenant; empty where only the token tells of it.
        confirmed: Read from the directory, not only from the token.
        excess: Why the app should not have it, a sentence; empty where it may be needed.
    """

    id: str
    name: str
    scope: str = ""
    confirmed: bool = False
    excess: str = ""


@dataclass(frozen=True)
class AppReport:
    """One app registration in one tenant.

    Attributes:
        place: `graph`, or `graph.mfa` for the second registration.
        problem: Why it could not sign in; empty where it could.
        opaque: It signed in, but its token cannot be looked into: permissions and roles are not known.
        consent_link: Where the customer's admin consents to it.
        permissions: Empty where they are not known.
        roles: Of which the token or the directory tells.
        roles_confirmed: The directory was asked, so that a role that is not listed is not there (one that it has
            through a group excepted).
    """

    place: str
    client_id: str
    credential: CredentialLine
    consent_link: str
    problem: str = ""
    opaque: bool = False
    permissions: tuple[PermissionLine, ...] = ()
    roles: tuple[RoleLine, ...] = ()
    roles_confirmed: bool = False

    @property
    def signed_in(self) -> bool:
        return not self.problem

    @property
    def words(self) -> str:
        """What to call it in a sentence."""
        return "the app" if self.place == "graph" else f"the app of {self.place}"


@dataclass(frozen=True)
class DomainLine:
    """A verified domain. `federated` is `None` where nothing tells."""

    name: str
    federated: bool | None


@dataclass(frozen=True)
class PassPolicy:
    """The tenant's policy for the Temporary Access Pass.

    Attributes:
        once: A pass can only be used once.
    """

    enabled: bool
    shortest_minutes: int | None = None
    longest_minutes: int | None = None
    once: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TenantReport:
    """Everything that was found out about one tenant.

    Attributes:
        apps: The main registration, then the second one where there is one.
        domains: Verified ones; empty where they could not be read.
        access_pass: `None` where it could not be read, and `access_pass_unread` says why.
        self_service: Whether anybody may reset the own password; `None` where it could not be read, and
            `self_service_unread` says why.
        findings: What is in order, what is missing and what to do, in the order of the report.
    """

    tenant: str
    tenant_id: str
    apps: tuple[AppReport, ...] = ()
    domains: tuple[DomainLine, ...] = ()
    access_pass: PassPolicy | None = None
    access_pass_unread: str = ""
    self_service: bool | None = None
    self_service_unread: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def signed_in(self) -> bool:
        return all(app.signed_in for app in self.apps)


WARN_DAYS = 30
"""So many days before a credential ends the admin is told."""


def expiry_warnings(credentials: Iterable[CredentialLine]) -> tuple[Finding, ...]:
    """What to say of credentials that end soon or have ended; nothing of the others. For the daily log and `check`."""
    return tuple(
        _of_expiry(line, line.days_left)
        for line in credentials
        if line.days_left is not None and line.days_left <= WARN_DAYS
    )


def _of_expiry(line: CredentialLine, days: int) -> Finding:
    what = "client secret" if line.kind == "client_secret" else "certificate"
    renew = "Make a new one in the app registration" if what == "client secret" else (
        "Upload a new one to the app registration"
    )  # fmt: skip
    extra = f", write its end into {line.place}_expires" if what == "client secret" else ""
    todo = f"{renew}, set it here{extra}, then restart. Entra takes both until the old one is removed there."
    if days < 0:
        return Finding(Level.ERROR, line.place, f"The {what} has ended.", todo)
    left = "today" if days == 0 else "in 1 day" if days == 1 else f"in {days} days"
    return Finding(Level.WARNING, line.place, f"The {what} ends {left}.", todo)


def credential_findings(credentials: Iterable[CredentialLine]) -> tuple[Finding, ...]:
    """One finding for each credential: how long it lasts, or that nobody knows."""
    lines = tuple(credentials)
    urgent = {finding.about: finding for finding in expiry_warnings(lines)}
    return tuple(urgent.get(line.place) or _quiet(line) for line in lines)


def _quiet(line: CredentialLine) -> Finding:
    if line.kind == "federated":
        return Finding(Level.OK, line.place, "A federated token has no end that has to be watched.")
    if line.days_left is None:
        return Finding(
            Level.OK, line.place, "The end of the client secret cannot be read.",
            f"Write {line.place}_expires (a day such as 2027-05-01) to be warned 30 days ahead.",
        )  # fmt: skip
    what = "client secret" if line.kind == "client_secret" else "certificate"
    return Finding(Level.OK, line.place, f"The {what} lasts {line.days_left} more days.")


def permission_findings(about: str, app: AppReport) -> tuple[Finding, ...]:
    """What is missing and what is too much; one line of praise where neither is so."""
    where = "" if app.place == "graph" else f" for {app.place}"
    found = []
    for line in app.permissions:
        if line.state is Standing.MISSING:
            must = line.need is Need.REQUIRED and line.needed_now
            later = "" if line.needed_now else " No configured ticket asks for that yet."
            text = f"The permission {line.name}{where} is missing, for {line.what_for}.{later}"
            found.append(Finding(Level.ERROR if must else Level.WARNING, about, text, line.todo))
        elif line.state is Standing.EXCESS:
            text = f"The permission {line.name}{where} is too much. {line.what_for}"
            found.append(Finding(Level.WARNING, about, text, line.todo))
    if not found and app.permissions:
        return (Finding(Level.OK, about, f"{app.words.capitalize()} has the permissions that it needs, and no more."),)
    return tuple(found)
