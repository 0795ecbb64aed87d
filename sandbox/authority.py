"""The imitated token endpoint of Microsoft Entra: discovery and client credentials, per tenant, over https.

Errors are AADSTS codes as admins meet them. Source: learn.microsoft.com reference-error-codes and the behaviour
of MSAL for Python against a real authority, read 2026-11-22.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.directory import Tenant
from sandbox.tokens import GRAPH, Issuer, assertion_problem
from sandbox.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# AADSTS number -> (status, OAuth error, text)
ERRORS = {
    7000215: (
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value,"
        " not the client secret ID.",
    ),
    7000218: (
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    700016: (400, "unauthorized_client", "Application with this identifier was not found in the directory."),
    700024: (401, "invalid_client", "Client assertion is not within its valid time range."),
    700027: (401, "invalid_client", "The certificate that signed the assertion is not registered on the application."),
    7000229: (401, "invalid_client", "The client application is missing service principal in the tenant."),
    500011: (400, "invalid_resource", "The resource principal was not found in the tenant."),
    70003: (400, "unsupported_grant_type", "The app requested an unsupported grant type."),
    90002: (
        400,
        "invalid_tenant",
        "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
    ),
}


class Authority:
    """The handlers; one instance per world."""

    def __init__(self, world: World, issuer: Issuer) -> None:
        self.world, self.issuer = world, issuer

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/{tenant}/v2.0/.well-known/openid-configuration", self.discovery),
                Route("/{tenant}/.well-known/openid-configuration", self.discovery),
                Route("/{tenant}/discovery/v2.0/keys", self.keys),
                Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
            ]
        )

    async def discovery(self, request: Request) -> Response:
        tenant = self.world.directory.tenant(request.path_params["tenant"])
        if tenant is None:
            return self._error(90002)
        base = f"{str(request.base_url).rstrip('/')}/{tenant.id}"
        return JSONResponse(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "issuer": f"{base}/v2.0",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "tenant_region_scope": "EU",
            }
        )

    async def keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.issuer.public_jwk()]})

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        tenant = self.world.directory.tenant(request.path_params["tenant"])
        if tenant is None:
            return self._error(90002)
        audience = form.get("scope", "").removesuffix("/.default")
        endpoint = str(request.url).partition("?")[0]
        problem = self._problem(form, tenant, endpoint, audience)
        if problem:
            return self._error(problem)
        lifetime = timedelta(seconds=self.world.limits.graph_token_seconds)
        token = self.issuer.issue(
            tenant, client_id=form["client_id"], audience=audience, now=self.world.now(), lifetime=lifetime
        )
        seconds = int(lifetime.total_seconds())
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        )

    def _problem(self, form: dict[str, str], tenant: Tenant, endpoint: str, audience: str) -> int | None:
        known = self.world.credentials
        if form.get("grant_type") != "client_credentials":
            return 70003
        if form.get("client_id") != known.graph_client_id:
            return 700016
        if not tenant.consented:
            return 7000229
        if audience not in self.issuer.audiences and audience != GRAPH:
            return 500011
        if "client_secret" in form:
            fits = secrets.compare_digest(form["client_secret"].encode(), known.graph_client_secret.encode())
            return None if fits else 7000215
        if form.get("client_assertion_type") == ASSERTION_TYPE:
            return assertion_problem(
                form.get("client_assertion", ""),
                certificates=self.world.directory.certificates,
                client_id=known.graph_client_id,
                audience=endpoint,
                now=self.world.now(),
            )
        return 7000218

    def _error(self, number: int) -> Response:
        status, error, text = ERRORS[number]
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        moment = f"{self.world.now():%Y-%m-%d %H:%M:%SZ}"
        ids = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}"
        return JSONResponse(
            {
                "error": error,
                "error_description": f"AADSTS{number}: {text} {ids}",
                "error_codes": [number],
                "timestamp": moment,
                "trace_id": trace,
                "correlation_id": correlation,
                "error_uri": f"https://login.microsoftonline.com/error?code={number}",
            },
            status_code=status,
        )
