"""The customers' side of the control port: accounts, tenants and the connector's app registrations."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.applications import RESET, Application
from sandbox.authority import ERRORS
from sandbox.connectwise_seed import follow
from sandbox.control_call import Handler, object_of
from sandbox.control_view import shown_account, shown_tenant
from sandbox.crowd import add_customers
from sandbox.desk_records import NotThere
from sandbox.directory import Account, Tenant, graph_time
from sandbox.methods import new_method
from sandbox.world import World


class Customers:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/control/accounts", self.list_accounts),
            ("GET", "/control/accounts/{upn}", self.get_account),
            ("PATCH", "/control/accounts/{upn}", self.patch_account),
            ("DELETE", "/control/accounts/{upn}", self.delete_account),
            ("POST", "/control/accounts/{upn}/methods", self.add_method),
            ("POST", "/control/accounts/{upn}/check-password", self.check_password),
            ("GET", "/control/tenants", self.list_tenants),
            ("POST", "/control/tenants", self.add_tenants),
            ("PATCH", "/control/tenants/{key}", self.patch_tenant),
            ("PATCH", "/control/applications/{app}", self.patch_application),
            ("POST", "/control/certificates", self.add_certificate),
            ("POST", "/control/federated-assertion", self.federated_assertion),
        ]

    # -- accounts -----------------------------------------------------------------------------------------------

    async def list_accounts(self, _request: Request) -> Response:
        return JSONResponse([shown_account(tenant, account) for tenant, account in self.world.directory.accounts()])

    async def get_account(self, request: Request) -> Response:
        return JSONResponse(shown_account(*self._found(request)))

    async def patch_account(self, request: Request) -> Response:
        """Change Graph's `properties`, the administrator roles, or which kinds of `methods` are kept."""
        body = await object_of(request)
        tenant, account = self._found(request)
        account.properties |= body.get("properties") or {}
        for key, held in (
            ("roles", tenant.direct_roles),
            ("unit_roles", tenant.unit_roles),
            ("eligible_roles", tenant.eligible_roles),
        ):
            if key in body:
                held[account.id] = [str(name) for name in body[key]]
        account.self_service = bool(body.get("self_service", account.self_service))
        if "methods" in body:
            kept = set(body["methods"]) | {"passwordAuthenticationMethod"}
            account.methods = [method for method in account.methods if method.kind in kept]
        return JSONResponse(shown_account(tenant, account))

    async def delete_account(self, request: Request) -> Response:
        """Gone as after a deletion in Entra."""
        tenant, account = self._found(request)
        tenant.forget(account)
        return JSONResponse({})

    async def add_method(self, request: Request) -> Response:
        """Register a method: `{kind, id, default, stuck, properties}`; everything but `kind` is optional.

        `kind` is Microsoft's type name, or one that does not exist yet.
        """
        body = await object_of(request)
        tenant, account = self._found(request)
        method = new_method(
            str(body["kind"]),
            method_id=str(body.get("id") or uuid.uuid4()),
            created=graph_time(self.world.now()),
            stuck=bool(body.get("stuck", False)),
            **(body.get("properties") or {}),
        )
        if account.method(method.id):
            raise ValueError(f"{account.upn} has a method with the id {method.id} already")
        account.methods.append(method)
        if body.get("default"):
            account.default_method = method.id
        return JSONResponse(shown_account(tenant, account), status_code=201)

    async def check_password(self, request: Request) -> Response:
        """Whether this password opens the account now; the only thing that can be asked about a password."""
        _, account = self._found(request)
        fits = account.password.opens_with(str((await object_of(request)).get("password", "")))
        enabled = bool(account.properties["accountEnabled"])
        return JSONResponse({"opens": fits and enabled, "must_change": account.must_change})

    def _found(self, request: Request) -> tuple[Tenant, Account]:
        found = self.world.directory.find(request.path_params["upn"])
        if found is None:
            raise NotThere(f"account {request.path_params['upn']!r}")
        return found

    # -- tenants ------------------------------------------------------------------------------------------------

    async def list_tenants(self, _request: Request) -> Response:
        return JSONResponse([shown_tenant(tenant) for tenant in self.world.directory.tenants.values()])

    async def add_tenants(self, request: Request) -> Response:
        """`{count, users}`: that many more customers with so many users each; see `crowd`."""
        body = await object_of(request)
        world = self.world
        added = add_customers(
            world.directory,
            world.desk,
            world.seed,
            count=int(body.get("count", 1)),
            users=int(body.get("users", 25)),
            now=world.now(),
        )
        follow(world.connectwise, world.directory)
        return JSONResponse([shown_tenant(tenant) for tenant in added], status_code=201)

    async def patch_tenant(self, request: Request) -> Response:
        """What the tenant's administrator decided; see `sandbox/README.md` for the keys.

        Those about an application concern the one named by `app`, else the main one.
        """
        body = await object_of(request)
        tenant = self._tenant(request)
        app = str(body.pop("app", RESET))
        if app not in tenant.enrolments:
            raise NotThere(f"application {app!r}")
        known = {*ENROLMENT_KEYS, *TENANT_KEYS}
        if set(body) - known:
            raise ValueError(f"Unknown: {', '.join(sorted(set(body) - known))}. There are: {', '.join(sorted(known))}")
        for name in ("refusal", "tenant_refusal"):
            if body.get(name) is not None and body[name] not in ERRORS:
                raise ValueError(f"{name} is one of {', '.join(map(str, sorted(ERRORS)))}, not {body[name]!r}")
        enrolment = tenant.enrolments[app]
        enrolment.permissions = set(body.get("permissions", enrolment.permissions))
        enrolment.permissions |= set(body.get("grant", ()))
        enrolment.permissions -= set(body.get("withdraw", ()))
        enrolment.roles = set(body.get("application_roles", enrolment.roles))
        enrolment.consented = bool(body.get("consented", enrolment.consented))
        enrolment.disabled = bool(body.get("disabled", enrolment.disabled))
        enrolment.refusal = body.get("refusal", enrolment.refusal)
        tenant.refusal = body.get("tenant_refusal", tenant.refusal)
        tenant.licences = set(body.get("licences", tenant.licences))
        tenant.pass_policy |= body.get("pass_policy") or {}
        tenant.mail_scope = body.get("mail_scope", tenant.mail_scope)
        return JSONResponse(shown_tenant(tenant))

    def _tenant(self, request: Request) -> Tenant:
        tenant = self.world.directory.tenant(request.path_params["key"])
        if tenant is None:
            raise NotThere(f"tenant {request.path_params['key']!r}")
        return tenant

    # -- app registrations --------------------------------------------------------------------------------------

    async def patch_application(self, request: Request) -> Response:
        """`{secret_expires_at}`: a date with its offset, or null for never."""
        body = await object_of(request)
        application = self._application(request.path_params["app"])
        expires = body["secret_expires_at"]
        moment = None if expires is None else datetime.fromisoformat(str(expires))
        if moment is not None and moment.tzinfo is None:
            raise ValueError("secret_expires_at needs an offset, such as Z")
        application.secret_expires_at = moment
        return JSONResponse({"app": application.key, "client_id": application.client_id, "secret_expires_at": expires})

    async def add_certificate(self, request: Request) -> Response:
        """Register a certificate (PEM) with which an application, the main one by default, may sign assertions."""
        body = await object_of(request)
        pem = str(body["pem"]).encode()
        x509.load_pem_x509_certificate(pem)
        self._application(str(body.get("app", RESET))).certificates.append(pem)
        return JSONResponse({}, status_code=201)

    async def federated_assertion(self, request: Request) -> Response:
        """A fresh assertion of the identity provider that the registrations trust.

        `{lifetime_seconds, issuer, subject, audience}`, all optional; a wrong one makes an assertion that is refused.
        """
        body: dict[str, Any] = await object_of(request)
        lifetime = timedelta(seconds=float(body.pop("lifetime_seconds", 600)))
        assertion = self.world.federation.assertion(now=self.world.now(), lifetime=lifetime, **body)
        return JSONResponse({"client_assertion": assertion}, status_code=201)

    def _application(self, key: str) -> Application:
        if key not in self.world.directory.applications:
            raise NotThere(f"application {key!r}")
        return self.world.directory.applications[key]


ENROLMENT_KEYS = ("permissions", "grant", "withdraw", "application_roles", "consented", "disabled", "refusal")
TENANT_KEYS = ("tenant_refusal", "licences", "pass_policy", "mail_scope")
