"""Access tokens as Microsoft issues them for an application, and the assertions that applications sign in with.

Every key is made in memory and lives as long as the process.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.applications import TOKEN_EXCHANGE, Application, Enrolment, FederatedCredential
from sandbox.roles import ROLE_TEMPLATES

GRAPH = "https://graph.microsoft.com"
NO_ROLE = "0997a1d0-0d1d-4acb-b408-d5ca73121e90"
"""What `wids` holds for an application without a directory role; Microsoft explains it nowhere, so UNVERIFIED."""

_UNDATED: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
# Dates are compared with the world's clock, so that a test can move it.


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Issuer:
    """Signs and checks access tokens. `audiences` are the resources that tokens may be asked for."""

    audiences: set[str] = field(default_factory=lambda: {GRAPH})
    key_id: str = field(default_factory=lambda: secrets.token_hex(8))
    _key: rsa.RSAPrivateKey = field(default_factory=_new_key, repr=False)

    def issue(
        self,
        tenant_id: str,
        *,
        client_id: str,
        enrolment: Enrolment,
        audience: str,
        now: datetime,
        lifetime: timedelta,
    ) -> str:
        """A token with the application permissions that the tenant has consented to *now*.

        Permissions granted later are not in a token that is already out, as with Microsoft. Without any permission
        there is no `roles` claim at all.
        """
        wids = [ROLE_TEMPLATES[name] for name in sorted(enrolment.roles) if name in ROLE_TEMPLATES]
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()) - 300,
            "exp": int((now + lifetime).timestamp()),
            "appid": client_id,
            "idtyp": "app",
            "oid": enrolment.object_id,
            "sub": enrolment.object_id,
            "tid": tenant_id,
            "wids": [*wids, NO_ROLE],
            "uti": secrets.token_urlsafe(12),
            "ver": "1.0",
        }
        if enrolment.permissions:
            claims["roles"] = sorted(enrolment.permissions)
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.key_id})

    def claims_of(self, token: str, *, now: datetime) -> dict[str, Any] | None:
        """The claims of a token of ours that is still good; None for anything else."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._key.public_key(), algorithms=["RS256"], audience=sorted(self.audiences), options=_UNDATED
            )
        except jwt.PyJWTError:
            return None
        return claims if claims["exp"] > now.timestamp() else None

    def public_jwk(self) -> dict[str, Any]:
        jwk: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return jwk | {"kid": self.key_id, "use": "sig"}


class Federation:
    """Another identity provider, whose assertions an app registration trusts: a Kubernetes cluster, a managed identity.

    `credential` is what the registration has on record of it.
    """

    credential = FederatedCredential("https://issuer.sandbox.example/cluster", "system:serviceaccount:psa:connector")

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return _new_key()

    def assertion(
        self,
        *,
        now: datetime,
        lifetime: timedelta = timedelta(minutes=10),
        issuer: str | None = None,
        subject: str | None = None,
        audience: str = TOKEN_EXCHANGE,
    ) -> str:
        """A fresh assertion; what is not given is what the registration expects."""
        claims = {
            "iss": issuer or self.credential.issuer,
            "sub": subject or self.credential.subject,
            "aud": audience,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()) - 5,
            "exp": int((now + lifetime).timestamp()),
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "federation"})

    def signed(self, assertion: str) -> bool:
        try:
            jwt.decode(
                assertion, self._key.public_key(), algorithms=["RS256"], options=_UNDATED | {"verify_aud": False}
            )
        except jwt.PyJWTError:
            return False
        return True


def assertion_problem(
    assertion: str, application: Application, *, endpoint: str, federation: Federation, now: datetime
) -> int | None:
    """Check a client assertion; the AADSTS number of what is wrong with it, or None.

    An assertion that the application issued itself needs a registered certificate, one of somebody else a federated
    credential. 700027: the signature does not fit, or the certificate has expired. 700024: outside its time. 700211 to
    700213: issuer, audience or subject of a federated one are not on record.
    """
    try:
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError:
        return 700027
    if claims.get("iss") == application.client_id:
        problem = _signed_problem(assertion, claims, application, endpoint, now)
    else:
        problem = _federated_problem(assertion, claims, application, federation)
    if problem:
        return problem
    moment = now.timestamp()
    in_time = float(claims.get("nbf", moment)) - 300 <= moment < float(claims.get("exp", 0))
    return None if in_time else 700024


def _signed_problem(
    assertion: str, claims: dict[str, Any], application: Application, endpoint: str, now: datetime
) -> int | None:
    if claims.get("sub") != application.client_id:
        return 700027
    for pem in application.certificates:
        certificate = x509.load_pem_x509_certificate(pem)
        public_key: Any = certificate.public_key()
        try:
            options = _UNDATED | {"require": ["exp", "sub", "jti"]}
            jwt.decode(assertion, public_key, algorithms=["RS256", "PS256"], audience=endpoint, options=options)
        except jwt.PyJWTError:
            continue
        # An assertion that is itself out of time is told so first.
        in_time = now.timestamp() < float(claims["exp"])
        return 700027 if in_time and certificate.not_valid_after_utc <= now else None
    return 700027


def _federated_problem(
    assertion: str, claims: dict[str, Any], application: Application, federation: Federation
) -> int | None:
    records = [one for one in application.federated if one.issuer == claims.get("iss")]
    if not records:
        return 700211
    if not any(one.audience == claims.get("aud") for one in records):
        return 700212
    if not any((one.audience, one.subject) == (claims.get("aud"), claims.get("sub")) for one in records):
        return 700213
    return None if federation.signed(assertion) else 700027
