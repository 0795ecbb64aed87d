"""What an app registration holds in a tenant, against the table of `permissions`. Explains, never allows. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connector.core.case import Action
from connector.graph.excess import TIER_ZERO, why_too_much
from connector.graph.permissions import (
    ACCEPTED,
    ANY_METHOD,
    BY_NAME,
    NARROW_METHODS,
    RESETS,
    STAND_INS,
    TABLE,
    Need,
    Permission,
    PermissionSet,
)


class Standing(StrEnum):
    """How a tenant stands to one permission."""

    HELD = "held"
    MISSING = "missing"
    OPTIONAL_MISSING = "optional-missing"
    EXCESS = "excess"


@dataclass(frozen=True)
class PermissionLine:
    """One line of the comparison.

    Attributes:
        set: `None` for what is in no set.
        needed_now: A ticket of the configured kinds can need it. A missing permission that is required is an error
            then, else a warning.
        what_for: What it is for; for an excess one why it is too much, a sentence.
        todo: Empty where nothing is to be done.
        through: A broader permission that stands in for it; empty where it is held by itself or not at all.
    """

    name: str
    state: Standing
    set: PermissionSet | None
    need: Need
    needed_now: bool
    what_for: str
    todo: str = ""
    through: str = ""

    @property
    def held(self) -> bool:
        """By itself: it stands in the token."""
        return self.state in (Standing.HELD, Standing.EXCESS) and not self.through


EVERY_ACTION = frozenset(Action)

ADD = "Add it to the app registration, then have the customer's admin consent again."
REVOKE = "revoke it in the customer's tenant and take it out of the app registration."


def compare(
    held: Collection[str],
    *,
    sets: Collection[PermissionSet] = RESETS,
    actions: Collection[Action] | None = None,
    kept: Collection[str] = (),
) -> tuple[PermissionLine, ...]:
    """Compare.

    Args:
        held: From a token's `roles`.
        sets: What this registration is for. `MAIL` only where the connector's mails go out from this tenant.
        actions: What the configured tickets can ask for; `None`: everything.
        kept: Permissions for kinds of methods that an MFA reset leaves alone by configuration: not asked for.

    Returns:
        A line for each permission of the sets, in the table's order, then one for each that is too much, the most
        dangerous first. Removing methods takes either `ANY_METHOD` or the narrow ones: the way that was begun is
        asked for, and `ANY_METHOD` is too much where the narrow ones are complete.
    """
    owned = frozenset(held)
    narrow_needed = {name for name in NARROW_METHODS if name not in kept and BY_NAME[name].need is not Need.OPTIONAL}
    narrow = bool(owned & set(NARROW_METHODS)) and (ANY_METHOD not in owned or owned >= narrow_needed)
    wanted = [
        permission
        for permission in TABLE
        if permission.set in sets
        and (permission.set is not PermissionSet.MFA or permission.narrow is narrow)
        and (permission.name in owned or permission.name not in kept)
    ]
    # Narrow ones beside the broad one are no more power: nothing to complain of.
    tolerated = {permission.name for permission in TABLE if permission.narrow and PermissionSet.MFA in sets}
    names = {permission.name for permission in wanted}
    excess = sorted(owned - names - tolerated - ACCEPTED, key=lambda name: (not _leads_to_admin(name), name))
    return (
        *(_line(permission, owned, actions) for permission in wanted),
        *(_excess(name, owned, wanted, sets) for name in excess),
    )


def _line(permission: Permission, owned: frozenset[str], actions: Collection[Action] | None) -> PermissionLine:
    stand_in = next((name for name in STAND_INS.get(permission.name, ()) if name in owned), "")
    todo = through = ""
    if permission.name in owned:
        state = Standing.HELD
    elif stand_in:
        state, through = Standing.HELD, stand_in
    elif permission.need is Need.OPTIONAL:
        state, todo = Standing.OPTIONAL_MISSING, "Grant it if you want that."
    else:
        state, todo = Standing.MISSING, ADD
    return PermissionLine(
        name=permission.name,
        state=state,
        set=permission.set,
        need=permission.need,
        needed_now=_needed_now(permission, EVERY_ACTION if actions is None else frozenset(actions)),
        what_for=permission.what_for,
        todo=todo,
        through=through,
    )


def _needed_now(permission: Permission, actions: frozenset[Action]) -> bool:
    if permission.name == "User.RevokeSessions.All":
        return True  # sessions are ended after an MFA reset too
    match permission.set:
        case PermissionSet.PASSWORD:
            return bool(actions & {Action.PASSWORD, Action.BOTH})
        case PermissionSet.MFA:
            return bool(actions & {Action.MFA, Action.BOTH})
        case _:
            return True


def _excess(
    name: str, owned: frozenset[str], wanted: Sequence[Permission], sets: Collection[PermissionSet]
) -> PermissionLine:
    known = BY_NAME.get(name)
    if name == ANY_METHOD and PermissionSet.MFA in sets:
        why = "The narrower permissions are held as well, and this one is tier 0."
    elif known is not None and known.set is not PermissionSet.MAIL:
        why = f"This registration is not for {known.what_for}."
    else:
        why = why_too_much(name)
    covered = [
        one.name
        for one in wanted
        if one.need is not Need.OPTIONAL and one.name not in owned and name in STAND_INS.get(one.name, ())
    ]
    first = f"Grant {' and '.join(covered)} in its place, then " if covered else ""
    todo = first + REVOKE
    return PermissionLine(
        name=name,
        state=Standing.EXCESS,
        set=known.set if known else None,
        need=Need.OPTIONAL,
        needed_now=False,
        what_for=why,
        todo=todo[0].upper() + todo[1:],
    )


def _leads_to_admin(name: str) -> bool:
    return name == ANY_METHOD or name in TIER_ZERO
