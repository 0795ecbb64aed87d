"""Administrator roles, and who may reset whose password.

Source: learn.microsoft.com/graph/api/resources/users "Who can reset passwords" and the published role template ids,
read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Collection

ROLE_TEMPLATES = {
    "Global Administrator": "62e90394-69f5-4237-9190-012177145e10",
    "Privileged Role Administrator": "e8611ab8-c189-46e8-94e1-60213ab1f814",
    "Privileged Authentication Administrator": "7be44c8a-adaf-4e2a-84d6-ab2649e08a13",
    "Authentication Administrator": "c4e39bd9-1100-46d3-8c65-fb160da0071f",
    "User Administrator": "fe930be7-5e62-47db-91af-98c3a49a38b1",
    "Helpdesk Administrator": "729827e3-9c14-49f7-bb1b-9608f156bbb8",
    "Password Administrator": "966707d0-3269-4727-9be2-8c3a10f19b9d",
    "Directory Readers": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
    "Guest Inviter": "95e79109-95c0-4d8e-aee3-d01accf2d47b",
    "Groups Administrator": "fdd7a751-b60b-444a-984c-02652fe8fa1c",
    "Message Center Reader": "790c1fb9-7f7d-4f88-86a1-ef1f95c05c1b",
    "Reports Reader": "4a5d8f65-41da-4de4-8968-e035b65339cf",
    "Usage Summary Reports Reader": "75934031-6c7e-415a-99d7-48dbd49e875e",
    "Exchange Administrator": "29232cdf-9323-42fd-ade2-1d097af3e4de",
}
"""Built-in roles. Any other name stands for a custom role of the tenant."""

_ALL_MAY = {"Directory Readers", "Guest Inviter", "Password Administrator"}
_READERS = {"Message Center Reader", "Reports Reader", "Usage Summary Reports Reader"}
MAY_RESET = {
    "Password Administrator": _ALL_MAY,
    "Helpdesk Administrator": _ALL_MAY | _READERS | {"Helpdesk Administrator"},
    "Authentication Administrator": _ALL_MAY | _READERS | {"Authentication Administrator"},
    "User Administrator": _ALL_MAY
    | _READERS
    | {"Helpdesk Administrator", "Groups Administrator", "User Administrator"},
}
"""The caller's role, and the roles that a target may hold at most."""

PRIVILEGED_RESETTERS = frozenset({"Privileged Authentication Administrator", "Global Administrator"})


def is_built_in(role: str) -> bool:
    return role in ROLE_TEMPLATES


def reaches(caller: Collection[str], *, target: Collection[str], shielded: bool) -> bool:
    """Whether an application with these roles may set the password of a target with those.

    Microsoft's page asks for User Administrator, an open pull request to that page says that no role is needed for
    ordinary users; both are true here.

    Args:
        shielded: The target is member or owner of a role-assignable group, or holds a role in a restricted unit.
    """
    if PRIVILEGED_RESETTERS & set(caller):
        return True
    if shielded:
        return False
    return not target or any(set(target) <= MAY_RESET.get(role, set()) for role in caller)
