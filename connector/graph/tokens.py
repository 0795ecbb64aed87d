"""Looking into an access token, to explain what went wrong. Never to allow anything: nothing is verified here.

Microsoft calls the tokens of Graph opaque, so everything is read as if it might not be there. Source:
learn.microsoft.com/entra/identity-platform/access-tokens and access-token-claims-reference, read 2026-11-22.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.core.secret import Secret


@dataclass(frozen=True)
class TokenFacts:
    """What a token says of the app that holds it.

    Attributes:
        app_id: The app's client id; empty where the token does not say.
        object_id: Of its service principal in that tenant; empty where the token does not say.
        roles: Application permissions that were consented to; `None` when the claim is not what it should be. Empty
            where there is no such claim: Entra leaves it out where nothing was consented to.
        directory_roles: Template ids of directory roles, folded. That the app's own roles show here, and as soon as
            they are given, is UNVERIFIED: one that is listed is there, one that is not listed may be there all the
            same.
    """

    app_id: str
    object_id: str
    roles: frozenset[str] | None
    directory_roles: frozenset[str]


def read_token(token: Secret) -> TokenFacts | None:
    """The facts in a token; `None` when it cannot be looked into. For explaining only."""
    claims = _claims(token)
    if claims is None:
        return None
    return TokenFacts(
        app_id=_text(claims, "appid") or _text(claims, "azp"),  # azp: in tokens of the second version
        object_id=_text(claims, "oid"),
        roles=_texts(claims.get("roles", [])),
        directory_roles=frozenset(role.casefold() for role in _texts(claims.get("wids", [])) or ()),
    )


def permissions_of(token: Secret) -> frozenset[str] | None:
    """The application permissions in a token; `None` when it cannot be looked into. For explaining only."""
    facts = read_token(token)
    return facts.roles if facts else None


def _claims(token: Secret) -> Mapping[str, Any] | None:
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: object) -> frozenset[str] | None:
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else None
