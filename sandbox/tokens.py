"""Access tokens as Microsoft issues them for an application, signed with a key that lives as long as the process."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.directory import Tenant

GRAPH = "https://graph.microsoft.com"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Issuer:
    """Signs and checks access tokens. `audiences` are the resources that tokens may be asked for."""

    audiences: set[str] = field(default_factory=lambda: {GRAPH})
    key_id: str = field(default_factory=lambda: secrets.token_hex(8))
    _key: rsa.RSAPrivateKey = field(default_factory=_new_key, repr=False)

    def issue(self, tenant: Tenant, *, client_id: str, audience: str, now: datetime, lifetime: timedelta) -> str:
        """A token with the application permissions that the tenant has consented to *now*.

        Permissions granted later are not in a token that is already out, as with Microsoft.
        """
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()) - 300,
            "exp": int((now + lifetime).timestamp()),
            "appid": client_id,
            "idtyp": "app",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant.id}:{client_id}")),
            "tid": tenant.id,
            "roles": sorted(tenant.permissions),
            "uti": secrets.token_urlsafe(12),
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.key_id})

    def claims_of(self, token: str, *, now: datetime) -> dict[str, Any] | None:
        """The claims of a token of ours that is still good; None for anything else."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=sorted(self.audiences),
                # Expiry is compared with the world's clock below, so that a test can move it.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        return claims if claims["exp"] > now.timestamp() else None

    def public_jwk(self) -> dict[str, Any]:
        jwk: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return jwk | {"kid": self.key_id, "use": "sig"}


def assertion_problem(
    assertion: str, *, certificates: list[bytes], client_id: str, audience: str, now: datetime
) -> int | None:
    """Check a client assertion; the AADSTS number of what is wrong with it, or None.

    700027: not signed by a registered certificate, or for somebody else. 700024: outside its time.
    """
    for pem in certificates:
        public_key: Any = x509.load_pem_x509_certificate(pem).public_key()
        try:
            claims = jwt.decode(
                assertion,
                public_key,
                algorithms=["RS256", "PS256"],
                audience=audience,
                issuer=client_id,
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "sub", "jti"],
                },
            )
        except jwt.PyJWTError:
            continue
        if claims["sub"] != client_id:
            return 700027
        moment = now.timestamp()
        return None if float(claims.get("nbf", moment)) - 300 <= moment < float(claims["exp"]) else 700024
    return 700027
