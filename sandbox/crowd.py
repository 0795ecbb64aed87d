"""As many more customers as wanted, each with an approver, a requester and plain users: for measurements."""

from __future__ import annotations

from datetime import datetime

from sandbox.builder import Builder, identifier
from sandbox.desk import Desk
from sandbox.desk_records import Client
from sandbox.directory import Directory, Domain, Tenant
from sandbox.seed import contact

FIRST_CLIENT = 1000


def add_customers(
    directory: Directory, desk: Desk, seed: int, *, count: int, users: int, now: datetime
) -> list[Tenant]:
    """Add `count` customers with `users` users each, who have an Authenticator as default method and a phone.

    They are called `customer01` and so on, their people `approver@`, `requester@` and `user01@customer01.example`, and
    the service desk knows them as clients from 1001 on.
    """
    known = sum(client.id > FIRST_CLIENT for client in desk.clients.values())
    return [
        _customer(directory, desk, seed, number=known + place, users=users, now=now) for place in range(1, count + 1)
    ]


def _customer(directory: Directory, desk: Desk, seed: int, *, number: int, users: int, now: datetime) -> Tenant:
    key = f"customer{number:02}"
    domain = Domain(f"{key}.example", default=True, initial=True)
    tenant = Tenant(key, identifier(seed, f"tenant:{key}"), f"Customer {number:02}", [domain])
    directory.tenants[key] = tenant
    make = Builder(seed, tenant, now)
    client_id = FIRST_CLIENT + number
    desk.clients[client_id] = Client(client_id, tenant.name, client_id, key)
    for name in ("approver", "requester"):
        account = make.account(name, f"{name.title()} {number:02}")
        contact(desk, client_id, str(account.properties["displayName"]), account.upn, account.id)
    desk.approvers[client_id] = [f"approver@{domain.name}"]
    for place in range(1, users + 1):
        name = f"user{place:02}"
        app = make.authenticator(name)
        user = make.account(name, f"User {place:02}", methods=[app, make.phone(name, f"+44 55{number:02}{place:04}")])
        user.default_method = app.id
    return tenant
