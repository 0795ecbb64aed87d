"""The connector's app registrations, and what each of them is in each customer's tenant.

A registration exists once and has credentials; a customer who consents gets a service principal of it (here an
*enrolment*) with permissions and, if an administrator assigned them, directory roles.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

RESET, MFA = "reset", "mfa"
"""The two registrations: one that may do everything, and one for sign-in methods only."""

TOKEN_EXCHANGE = "api://AzureADTokenExchange"
"""The audience of a federated assertion. Source: learn.microsoft.com workload-identity-federation, read 2026-11-22."""

DEFAULT_PERMISSIONS = {
    RESET: frozenset(
        {
            "User.Read.All",
            "User-PasswordProfile.ReadWrite.All",
            "User.RevokeSessions.All",
            "UserAuthenticationMethod.ReadWrite.All",
            "Domain.Read.All",
            "Mail.Send",
        }
    ),
    MFA: frozenset(
        {
            "User.Read.All",
            "User.RevokeSessions.All",
            "UserAuthenticationMethod.ReadWrite.All",
            "Domain.Read.All",
        }
    ),
}
DEFAULT_ROLES = {RESET: frozenset({"User Administrator"}), MFA: frozenset[str]()}


@dataclass(frozen=True)
class FederatedCredential:
    """Whose assertions stand in for a secret. All three are compared letter by letter, as Microsoft does."""

    issuer: str
    subject: str
    audience: str = TOKEN_EXCHANGE


@dataclass
class Application:
    """An app registration. `secret_expires_at` None means that its secret never expires."""

    key: str
    client_id: str
    secret: str = field(repr=False)
    secret_expires_at: datetime | None = None
    certificates: list[bytes] = field(default_factory=list)
    federated: list[FederatedCredential] = field(default_factory=list)

    def knows(self, secret: str) -> bool:
        return secrets.compare_digest(self.secret.encode(), secret.encode())


@dataclass
class Enrolment:
    """What one application is in one tenant.

    `consented` False means that there is no service principal. `refusal` is the AADSTS number that every otherwise
    good token request gets.
    """

    key: str
    object_id: str
    permissions: set[str]
    roles: set[str]
    consented: bool = True
    disabled: bool = False
    refusal: int | None = None


def enrolments(tenant_id: str, keys: Iterable[str] = (RESET, MFA)) -> dict[str, Enrolment]:
    """Both applications as a customer has them who has just consented; object ids follow from the tenant's."""
    return {
        key: Enrolment(
            key,
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant_id}:{key}")),
            set(DEFAULT_PERMISSIONS[key]),
            set(DEFAULT_ROLES[key]),
        )
        for key in keys
    }
