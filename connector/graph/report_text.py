"""A tenant's report for people (rows and lines) and for scripts (JSON, whose keys docs/entra.md promises)."""

from __future__ import annotations

from collections.abc import Iterator

from connector.graph.comparison import PermissionLine, Standing
from connector.graph.permissions import Need
from connector.graph.report import AppReport, CredentialLine, RoleLine, TenantReport

HEAD = ("permission", "state", "what for")


def app_line(app: AppReport) -> str:
    """One line above the table of an app registration."""
    state = "signed in" if app.signed_in else "CANNOT SIGN IN"
    return f"{app.place}: {state} as {app.client_id}, {_credential(app.credential)}"


def app_rows(app: AppReport) -> list[tuple[str, str, str]]:
    """The table of an app registration, in the order of the report: what it needs, then what is too much."""
    return [(line.name, _state(line), _purpose(line)) for line in app.permissions]


def tenant_lines(report: TenantReport) -> Iterator[tuple[str, str]]:
    """What else there is to say: a name and a text each."""
    for app in report.apps:
        of = "" if app.place == "graph" else f" ({app.place})"
        if app.signed_in and not app.opaque:
            yield f"Directory roles{of}", _roles(app)
        yield f"Consent link{of}", app.consent_link
    if report.domains:
        unknown = " (how it signs in is not known)"
        words = {True: " (FEDERATED: no password resets)", False: "", None: unknown}
        yield "Domains", ", ".join(f"{domain.name}{words[domain.federated]}" for domain in report.domains)
    if report.signed_in:
        yield "Temporary Access Pass", _access_pass(report)
        yield "Self-service reset", _self_service(report)


def _state(line: PermissionLine) -> str:
    if line.state is Standing.MISSING:
        return "MISSING" if line.need is Need.REQUIRED and line.needed_now else "missing"
    return {Standing.HELD: "held", Standing.OPTIONAL_MISSING: "optional", Standing.EXCESS: "EXCESS"}[line.state]


def _purpose(line: PermissionLine) -> str:
    return f"{line.what_for} (through {line.through})" if line.through else line.what_for


def _credential(line: CredentialLine) -> str:
    kind = {"client_secret": "client secret", "federated": "federated token"}.get(line.kind, "certificate")
    if line.kind == "federated":
        return kind
    if line.days_left is None:
        return f"{kind}, end not known"
    return f"{kind}, ENDED" if line.days_left < 0 else f"{kind}, {line.days_left} days left"


def _roles(app: AppReport) -> str:
    source = "read from the directory" if app.roles_confirmed else "as far as the token tells"
    return f"{', '.join(map(_role, app.roles)) or 'none'} ({source})"


def _role(role: RoleLine) -> str:
    where = f" in {role.scope}" if role.scope not in ("", "/") else ""
    return f"{role.name}{where}{' EXCESS' if role.excess else ''}"


def _access_pass(report: TenantReport) -> str:
    policy = report.access_pass
    if policy is None:
        return report.access_pass_unread
    if not policy.enabled:
        return "off in this tenant"
    parts = ["on"]
    if policy.shortest_minutes is not None and policy.longest_minutes is not None:
        parts.append(f"{policy.shortest_minutes} to {policy.longest_minutes} minutes")
    if policy.once is not None:
        parts.append("usable once" if policy.once else "usable more than once")
    return ", ".join(parts)


def _self_service(report: TenantReport) -> str:
    if report.self_service is None:
        return report.self_service_unread
    return "on for some accounts at least" if report.self_service else "on for nobody, by the report"


# ---------------------------------------------------------------- for scripts


def as_json(report: TenantReport) -> dict[str, object]:
    """The report for `connector check --json`, without its findings, which stand in the common list."""
    policy = report.access_pass
    return {
        "tenant": report.tenant,
        "tenant_id": report.tenant_id,
        "signed_in": report.signed_in,
        "apps": [_app_json(app) for app in report.apps],
        "domains": [{"name": domain.name, "federated": domain.federated} for domain in report.domains],
        "temporary_access_pass": {
            "enabled": policy.enabled,
            "minimum_minutes": policy.shortest_minutes,
            "maximum_minutes": policy.longest_minutes,
            "once": policy.once,
        }
        if policy
        else None,
        "temporary_access_pass_unread": report.access_pass_unread,
        "self_service": report.self_service,
        "self_service_unread": report.self_service_unread,
    }


def _app_json(app: AppReport) -> dict[str, object]:
    return {
        "place": app.place,
        "client_id": app.client_id,
        "signed_in": app.signed_in,
        "problem": app.problem,
        "credential": {"kind": app.credential.kind, "days_left": app.credential.days_left},
        "consent_link": app.consent_link,
        "token_readable": app.signed_in and not app.opaque,
        "permissions": [
            {
                "name": line.name,
                "state": line.state.value,
                "set": line.set.value if line.set else None,
                "need": line.need.value,
                "needed_now": line.needed_now,
                "through": line.through,
                "what_for": line.what_for,
                "todo": line.todo,
            }
            for line in app.permissions
        ],
        "directory_roles": [
            {
                "id": role.id,
                "name": role.name,
                "scope": role.scope,
                "confirmed": role.confirmed,
                "excess": role.excess,
            }
            for role in app.roles
        ],
        "directory_roles_confirmed": app.roles_confirmed,
    }
