"""The imitated token endpoint of Microsoft Entra: discovery and client credentials, per tenant, over https.

Errors are AADSTS codes as admins meet them. Source: learn.microsoft.com reference-error-codes and the behaviour
of MSAL for Python against a real authority, read 2026-11-22.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.applications import Application
from sandbox.directory import Tenant
from sandbox.tokens import GRAPH, Issuer, assertion_problem
from sandbox.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# AADSTS number -> (status, OAuth error, text). Where no answer to a client-credentials request was found on record,
# the status is the one that the same OAuth error has elsewhere; README.md says which.
ERRORS = {
    7000112: (400, "unauthorized_client", "The application is disabled."),
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
    7000222: (401, "invalid_client", "The provided client secret keys for the application are expired."),
    7000229: (401, "invalid_client", "The client application is missing service principal in the tenant."),
    700016: (400, "unauthorized_client", "Application with this identifier was not found in the directory."),
    700024: (401, "invalid_client", "Client assertion is not within its valid time range."),
    700027: (401, "invalid_client", "The certificate that signed the assertion is not registered on the application."),
    700211: (401, "invalid_client", "No matching federated identity record found for presented assertion issuer."),
    700212: (401, "invalid_client", "No matching federated identity record found for presented assertion audience."),
    700213: (401, "invalid_client", "No matching federated identity record found for presented assertion subject."),
    65001: (400, "invalid_grant", "The user or administrator has not consented to use the application."),
    53003: (400, "invalid_grant", "Access has been blocked by Conditional Access policies."),
    530032: (400, "invalid_grant", "Access has been blocked by a security policy of the tenant."),
    500011: (400, "invalid_resource", "The resource principal was not found in the tenant."),
    70003: (400, "unsupported_grant_type", "The app requested an unsupported grant type."),
    900023: (400, "invalid_request", "The specified tenant identifier is neither a DNS name nor an external domain."),
    900382: (400, "invalid_request", "A confidential client is not supported in a cross-cloud request."),
    90002: (
        400,
        "invalid_tenant",
        "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
    ),
    90033: (503, "temporarily_unavailable", "A transient error has occurred. Please try again."),
    90038: (400, "invalid_request", "The specified tenant belongs to another national cloud."),
    90055: (429, "temporarily_unavailable", "The tenant is throttled because of too many requests."),
}
RETRY_AFTER = {90055: "10"}


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
            return self._unknown_tenant(request)
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
            return self._unknown_tenant(request)
        audience = form.get("scope", "").removesuffix("/.default")
        endpoint = str(request.url).partition("?")[0]
        application = self.world.directory.application(form.get("client_id", ""))
        problem = self._problem(form, tenant, application, endpoint, audience)
        if problem or application is None:
            return self._error(problem or 700016)
        lifetime = timedelta(seconds=self.world.limits.graph_token_seconds)
        token = self.issuer.issue(
            tenant.id,
            client_id=application.client_id,
            enrolment=tenant.enrolments[application.key],
            audience=audience,
            now=self.world.now(),
            lifetime=lifetime,
        )
        seconds = int(lifetime.total_seconds())
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        )

    def _problem(
        self, form: dict[str, str], tenant: Tenant, application: Application | None, endpoint: str, audience: str
    ) -> int | None:
        """The AADSTS number that refuses this request, or None. Which of two mistakes Microsoft names is not known."""
        if form.get("grant_type") != "client_credentials":
            return 70003
        if tenant.refusal:
            return tenant.refusal
        if application is None:
            return 700016
        enrolment = tenant.enrolments[application.key]
        if not enrolment.consented:
            return 7000229
        if enrolment.disabled:
            return 7000112
        if audience not in self.issuer.audiences and audience != GRAPH:
            return 500011
        # Conditional Access decides about those who proved who they are.
        return self._credential_problem(form, application, endpoint) or enrolment.refusal

    def _credential_problem(self, form: dict[str, str], application: Application, endpoint: str) -> int | None:
        now = self.world.now()
        if "client_secret" in form:
            if not application.knows(form["client_secret"]):
                return 7000215
            expires = application.secret_expires_at
            return 7000222 if expires is not None and expires <= now else None
        if form.get("client_assertion_type") == ASSERTION_TYPE:
            return assertion_problem(
                form.get("client_assertion", ""),
                application,
                endpoint=endpoint,
                federation=self.world.federation,
                now=now,
            )
        return 7000218

    def _unknown_tenant(self, request: Request) -> Response:
        """Neither a GUID nor a domain is a malformed name; anything else is unknown."""
        name = request.path_params["tenant"]
        with contextlib.suppress(ValueError):
            uuid.UUID(name)
            return self._error(90002)
        return self._error(90002 if "." in name else 900023)

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
            headers={"Retry-After": RETRY_AFTER[number]} if number in RETRY_AFTER else None,
        )
