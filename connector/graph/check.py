"""Looking a tenant over for `connector check`: who signs in with which rights, and what the tenant tells.

Tokens are decoded to explain what a tenant granted, never to allow anything. Vendor facts:
learn.microsoft.com/graph/api/rbacapplication-list-roleassignments and user-update, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from connector.core.case import Action, fold
from connector.core.ports import Clock, Finding, Level
from connector.errors import ConnectorError, TemporaryError
from connector.graph.client import GraphClient
from connector.graph.comparison import compare
from connector.graph.credential import Credential, days_left
from connector.graph.excess import NOT_A_ROLE, USER_ADMINISTRATOR, role_of
from connector.graph.facts import object_id, rows_of
from connector.graph.permissions import PermissionSet, may
from connector.graph.report import AppReport, CredentialLine, RoleLine, TenantReport, permission_findings
from connector.graph.signin import Registration, SignIn, consent_link
from connector.graph.tenant_facts import ask, read_domains, read_pass_policy, read_self_service
from connector.graph.tokens import TokenFacts, read_token

READ_ROLES = "RoleManagement.Read.Directory"
CONFLICT = (
    "Microsoft's page for setting passwords wants that role besides the permission; other pages and reports do without."
)
UNREAD = "not readable: the app cannot sign in"


@dataclass(frozen=True)
class CheckedApp:
    """One app registration of ours in one tenant.

    Attributes:
        sets: What it is for, without `MAIL`.
    """

    registration: Registration
    credential: Credential
    sets: frozenset[PermissionSet]
    sign_in: SignIn
    client: GraphClient

    @property
    def place(self) -> str:
        """Where it is configured: `graph`, `graph.mfa`."""
        return self.credential.section


class TenantCheck:
    """Looks one tenant over. Sends nothing before `report` is called, and never writes.

    Args:
        tenant: Its name in `connector.yaml`.
        apps: The main registration first.
        kept: Permissions for kinds of methods that an MFA reset leaves alone by configuration.
    """

    def __init__(
        self,
        *,
        tenant: str,
        tenant_id: str,
        apps: Sequence[CheckedApp],
        kept: Collection[str] = (),
        clock: Clock,
    ) -> None:
        self._about = f"tenants.{tenant}"
        self._empty = TenantReport(tenant=tenant, tenant_id=tenant_id)
        self._apps = tuple(apps)
        self._kept = frozenset(kept)
        self._clock = clock

    def report(self, *, actions: Collection[Action] | None = None, sends_mail: bool = False) -> TenantReport:
        """Find everything out: a sign-in for each registration and up to five reads. Raises nothing of ours.

        Args:
            actions: What the configured tickets can ask for; `None`: everything.
            sends_mail: The connector's mails go out from this tenant, through the main registration.
        """
        apps: list[AppReport] = []
        findings: list[Finding] = []
        for app in self._apps:
            sets = app.sets | {PermissionSet.MAIL} if sends_mail and not apps else app.sets
            report, found = self._look(app, sets, actions)
            apps.append(report)
            findings.extend(found)
        whole = replace(self._empty, apps=tuple(apps))
        if not apps[0].signed_in:
            return replace(whole, access_pass_unread=UNREAD, self_service_unread=UNREAD, findings=tuple(findings))
        client = self._apps[0].client
        held = frozenset(line.name for line in apps[0].permissions if line.held)
        domains, found = read_domains(client, self._about)
        access_pass, access_pass_unread = read_pass_policy(client, held)
        self_service, self_service_unread = read_self_service(client, held)
        return replace(
            whole,
            domains=domains,
            access_pass=access_pass,
            access_pass_unread=access_pass_unread,
            self_service=self_service,
            self_service_unread=self_service_unread,
            findings=(*findings, *found),
        )

    def _look(
        self, app: CheckedApp, sets: frozenset[PermissionSet], actions: Collection[Action] | None
    ) -> tuple[AppReport, tuple[Finding, ...]]:
        about = self._about
        link = consent_link(app.registration, self._empty.tenant_id)
        credential = credential_line(app.credential, self._clock)
        report = AppReport(app.place, app.registration.client_id, credential, link)
        try:
            facts = read_token(app.sign_in.token())
        except ConnectorError as failure:
            temporary = isinstance(failure, TemporaryError)
            finding = Finding(Level.ERROR, about, str(failure), temporary=temporary)
            return replace(report, problem=str(failure)), (finding,)
        signed_in = Finding(Level.OK, about, f"Microsoft signs {report.words} in.")
        if facts is None or facts.roles is None:
            blind = Finding(
                Level.WARNING, about,
                f"The token of {report.words} cannot be looked into, so the permissions were not compared.",
                "Compare them by hand with docs/entra.md.",
            )  # fmt: skip
            return replace(report, opaque=True), (signed_in, blind)
        roles, roles_confirmed = _roles(app, facts)
        report = replace(
            report,
            permissions=compare(facts.roles, sets=sets, actions=actions, kept=self._kept),
            roles=roles,
            roles_confirmed=roles_confirmed,
        )
        if facts.roles:
            found = permission_findings(about, report)
        else:
            found = (
                Finding(
                    Level.ERROR, about, f"The tenant knows {report.words}, but has granted it no permission.",
                    "Add the permissions to the app registration, then have the customer's admin open "
                    f"{link} and accept.",
                ),
            )  # fmt: skip
        return report, (signed_in, *found, *_role_findings(about, report, sets))


def credential_line(credential: Credential, clock: Clock) -> CredentialLine:
    """The credential of a registration, for a report and for `expiry_warnings`."""
    return CredentialLine(credential.place, credential.key, days_left(credential, clock()))


def _roles(app: CheckedApp, facts: TokenFacts) -> tuple[tuple[RoleLine, ...], bool]:
    """Roles of the app itself: what its token tells, and what the directory does where it may be asked."""
    found = {role: _role(app, role) for role in sorted(facts.directory_roles - NOT_A_ROLE)}
    principal = object_id(facts.object_id.casefold())
    if not (principal and may(READ_ROLES, facts.roles or frozenset())):
        return tuple(found.values()), False
    reply = ask(app.client, f"/roleManagement/directory/roleAssignments?$filter=principalId%20eq%20'{principal}'")
    rows = rows_of(reply) if reply is not None else None
    for row in rows or ():
        role, scope = fold(str(row.get("roleDefinitionId") or "")), row.get("directoryScopeId")
        if role:
            found[role] = replace(_role(app, role), scope=scope if isinstance(scope, str) else "", confirmed=True)
    return tuple(found.values()), rows is not None


def _role(app: CheckedApp, role_id: str) -> RoleLine:
    role = role_of(role_id)
    excess = role.why
    if not excess and PermissionSet.PASSWORD not in app.sets:
        excess = "It sets no passwords, so it needs no role."
    return RoleLine(role_id, role.name, excess=excess)


def _role_findings(about: str, report: AppReport, sets: Collection[PermissionSet]) -> Iterator[Finding]:
    for role in report.roles:
        if role.excess:
            where = f" in {role.scope}" if role.scope not in ("", "/") else ""
            yield Finding(
                Level.WARNING, about, f"{report.words.capitalize()} has the directory role {role.name}{where}, which "
                f"is too much. {role.excess}",
                "Take it away in the customer's tenant: Entra, Roles and administrators.",
            )  # fmt: skip
    if PermissionSet.PASSWORD not in sets:
        return
    if any(role.id == USER_ADMINISTRATOR for role in report.roles):
        yield Finding(Level.OK, about, f"The app has the directory role User Administrator. {CONFLICT}")
    else:
        sure = "" if report.roles_confirmed else ", as far as its token tells"
        yield Finding(
            Level.OK, about, f"The app does not have the directory role User Administrator{sure}. {CONFLICT}",
            "Nothing while resets work. If they are refused with 403, give the app that role in this tenant.",
        )  # fmt: skip
