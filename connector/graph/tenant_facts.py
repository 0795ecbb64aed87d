"""What `connector check` reads of a tenant besides the app itself: domains, and two policies where they may be read.

What is nice to know but cannot be read is said as such and is no fault. Vendor facts:
learn.microsoft.com/graph/api/organization-get, domain-list, authenticationmethodconfiguration-get and
authenticationmethodsroot-list-userregistrationdetails, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.core.case import fold
from connector.core.ports import Finding, Level
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.graph.client import Ask, GraphClient, Reply
from connector.graph.facts import domains_of, rows_of
from connector.graph.permissions import may
from connector.graph.report import DomainLine, PassPolicy

READ_PASS_POLICY = "Policy.Read.AuthenticationMethod"  # noqa: S105 - the name of a permission
READ_REGISTRATIONS = "AuditLog.Read.All"
PASS_POLICY = "/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/TemporaryAccessPass"  # noqa: S105
SELF_SERVICE = (
    "/reports/authenticationMethods/userRegistrationDetails?$filter=isSsprEnabled%20eq%20true&$top=1"
    "&$select=id,isSsprEnabled"
)


def read_domains(client: GraphClient, about: str) -> tuple[tuple[DomainLine, ...], tuple[Finding, ...]]:
    """The verified domains from both places that tell of them; either one's "federated" counts."""
    asks = [
        Ask("organization", "/organization?$select=id,verifiedDomains"),
        Ask("domains", "/domains?$select=id,isVerified,authenticationType", needed=False),
    ]
    try:
        replies = client.batch(asks)
        reply = replies["organization"]
        if not reply.fine:
            raise client.refusal(reply, "to show the verified domains", needs=("User.Read.All",))
    except ConnectorError as failure:
        level = Level.WARNING if isinstance(failure, PermanentError) else Level.ERROR
        temporary = isinstance(failure, TemporaryError)
        return (), (Finding(level, about, str(failure), temporary=temporary),)
    kinds: dict[str, set[str]] = {}
    for row in domains_of(reply) or ():
        kinds.setdefault(fold(str(row.get("name", ""))), set()).add(fold(str(row.get("type", ""))))
    for row in rows_of(replies["domains"]) or ():
        if row.get("isVerified") is True:
            kinds.setdefault(fold(str(row.get("id", ""))), set()).add(fold(str(row.get("authenticationType", ""))))
    kinds.pop("", None)
    domains = tuple(DomainLine(name, _federated(kinds[name])) for name in sorted(kinds))
    findings = [Finding(Level.OK, about, "The verified domains can be read.")]
    federated = [domain.name for domain in domains if domain.federated]
    if federated:
        what = "is a federated domain" if len(federated) == 1 else "are federated domains"
        text = (
            f"{', '.join(federated)} {what}. Microsoft Graph resets no passwords of accounts there: such requests are "
            "handed to a person before an approver is asked. MFA resets work."
        )
        # No warning: nobody can mend it, and a check that is never content is not read any more.
        findings.append(Finding(Level.OK, about, text))
    return domains, tuple(findings)


def _federated(kinds: set[str]) -> bool | None:
    return True if "federated" in kinds else False if "managed" in kinds else None


def read_pass_policy(client: GraphClient, held: frozenset[str]) -> tuple[PassPolicy | None, str]:
    if not may(READ_PASS_POLICY, held):
        return None, f"not readable: grant {READ_PASS_POLICY}"
    reply = ask(client, PASS_POLICY)
    body: Any = reply.body if reply is not None and reply.fine else None
    state = fold(str(body.get("state", ""))) if isinstance(body, Mapping) else ""
    if state not in ("enabled", "disabled"):
        return None, _why_not(reply)
    once = body.get("isUsableOnce")
    return PassPolicy(
        enabled=state == "enabled",
        shortest_minutes=_whole(body.get("minimumLifetimeInMinutes")),
        longest_minutes=_whole(body.get("maximumLifetimeInMinutes")),
        once=once if isinstance(once, bool) else None,
    ), ""


def read_self_service(client: GraphClient, held: frozenset[str]) -> tuple[bool | None, str]:
    """Whether there is anybody who may reset the own password. Late by hours (UNVERIFIED how many)."""
    if not may(READ_REGISTRATIONS, held):
        return None, f"not readable: grant {READ_REGISTRATIONS} (needs Entra ID P1 too)"
    reply = ask(client, SELF_SERVICE)
    rows = rows_of(reply) if reply is not None else None
    if reply is None or rows is None:
        if reply is not None and reply.error is not None and reply.error.mentions("premium"):
            return None, "not readable: the tenant has no Entra ID P1"
        return None, _why_not(reply)
    return any(row.get("isSsprEnabled") is True for row in rows), ""


def ask(client: GraphClient, path: str) -> Reply | None:
    """One read that we can do without: `None` when Graph could not be asked."""
    try:
        return client.call("GET", path)
    except (TemporaryError, AuthenticationError, PermanentError):
        return None


def _why_not(reply: Reply | None) -> str:
    if reply is None:
        return "not readable just now: Microsoft Graph was away or asked us to wait"
    if reply.fine:
        return "not readable: Microsoft Graph sent something else"
    code = f" {reply.error.code}" if reply.error and reply.error.code else ""
    return f"not readable: Microsoft Graph refused it ({reply.status}{code})"


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
