"""How the control port shows records; never a password."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sandbox.applications import RESET, Enrolment
from sandbox.desk import Desk
from sandbox.desk_records import Ticket
from sandbox.directory import Account, Tenant
from sandbox.halo_json import ticket_detail


def shown_ticket(desk: Desk, ticket: Ticket) -> dict[str, Any]:
    detail = ticket_detail(desk, ticket)
    return {
        "id": ticket.id,
        "type": desk.types[ticket.type_id].name,
        "client_id": ticket.client_id,
        "client": desk.clients[ticket.client_id].name,
        "requester": detail.get("user_email"),
        "summary": ticket.summary,
        "details": ticket.details,
        "subject": ticket.custom.get("CFSubject"),
        "what": ticket.custom.get("CFResetWhat"),
        "status": desk.statuses[ticket.status_id].name,
        "closed": desk.is_closed(ticket),
        "priority": priority.name if (priority := desk.priority(ticket)) else None,
        "created_at": ticket.created_at.isoformat(),
        "updated_at": ticket.updated_at.isoformat(),
        "merged_into": ticket.merged_into,
        "team": ticket.team,
        "agent_id": ticket.agent_id,
        "custom": dict(ticket.custom),
        "approvals": [
            {key: value for key, value in _plain(asdict(row)).items() if key != "token"} for row in ticket.approvals
        ],
        "actions": [_plain(asdict(action)) for action in ticket.actions],
    }


def shown_account(tenant: Tenant, account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "upn": account.upn,
        "tenant": tenant.key,
        "display_name": account.properties["displayName"],
        "enabled": account.properties["accountEnabled"],
        "synchronised": bool(account.properties["onPremisesSyncEnabled"]),
        "federated": tenant.is_federated(account),
        "guest": account.properties["userType"] == "Guest",
        "roles": tenant.roles_of(account.id),
        "eligible_roles": tenant.eligible_roles.get(account.id, []),
        "self_service": account.self_service,
        "groups": [group.name for group in tenant.groups_of(account.id)],
        "methods": [
            {"id": method.id, "kind": method.kind, "default": method.id == account.default_method}
            for method in account.methods
            if method.kind != "passwordAuthenticationMethod"
        ],
        "must_change": account.must_change,
        "password_set_at": account.password_set_at.isoformat() if account.password_set_at else None,
        "sessions_revoked_at": account.sessions_revoked_at.isoformat() if account.sessions_revoked_at else None,
        "writes": len(account.writes),
        "write_log": account.writes,
    }


def shown_tenant(tenant: Tenant) -> dict[str, Any]:
    return {
        "key": tenant.key,
        "id": tenant.id,
        "domains": [domain.name for domain in tenant.domains],
        "groups": {group.name: group.id for group in tenant.groups.values()},
        "deleted": tenant.deleted,
        "licences": sorted(tenant.licences),
        "pass_policy": tenant.pass_policy,
        "mail_scope": tenant.mail_scope,
        "tenant_refusal": tenant.refusal,
        **_shown_enrolment(tenant.enrolments[RESET]),
        "applications": {key: _shown_enrolment(one) for key, one in tenant.enrolments.items()},
    }


def _shown_enrolment(enrolment: Enrolment) -> dict[str, Any]:
    return {
        "object_id": enrolment.object_id,
        "permissions": sorted(enrolment.permissions),
        "application_roles": sorted(enrolment.roles),
        "consented": enrolment.consented,
        "disabled": enrolment.disabled,
        "refusal": enrolment.refusal,
    }


def _plain(value: Any) -> Any:
    """The same with datetimes as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
