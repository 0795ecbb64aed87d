"""The table of permissions, and what a tenant's grants look like beside it."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from connector.core.case import Action
from connector.graph.comparison import PermissionLine, Standing, compare
from connector.graph.directory import READ_USERS
from connector.graph.excess import TIER_ZERO, why_too_much
from connector.graph.methods import KINDS
from connector.graph.permissions import (
    ACCEPTED,
    ANY_METHOD,
    BY_NAME,
    GRAPH_APP_ID,
    LIST_METHODS,
    NARROW_METHODS,
    STAND_INS,
    TABLE,
    Need,
    PermissionSet,
    paper,
    permissions_for,
    required_resource_access,
    sets_of,
)
from connector.graph.reset import REVOKE_SESSIONS, SET_PASSWORD

ROOT = Path(__file__).parent.parent.parent
ENOUGH = frozenset(
    {
        "User.Read.All",
        "GroupMember.Read.All",
        "RoleManagement.Read.Directory",
        "Domain.Read.All",
        "User-PasswordProfile.ReadWrite.All",
        "User.RevokeSessions.All",
        ANY_METHOD,
    }
)
NARROW_ENOUGH = (ENOUGH - {ANY_METHOD}) | {LIST_METHODS, *NARROW_METHODS}


def states(lines: tuple[PermissionLine, ...]) -> dict[str, Standing]:
    return {line.name: line.state for line in lines}


def of(lines: tuple[PermissionLine, ...], state: Standing) -> set[str]:
    return {line.name for line in lines if line.state is state}


# ---------------------------------------------------------------- the table


def test_every_permission_is_named_once_and_every_id_is_an_id_of_its_own() -> None:
    assert len(BY_NAME) == len(TABLE)
    ids = [permission.app_role_id for permission in TABLE if permission.app_role_id]
    assert len(set(ids)) == len(ids)
    assert all(str(UUID(one)) == one for one in ids)


def test_everything_that_the_code_names_in_a_refusal_is_in_the_table() -> None:
    named = {READ_USERS[0], SET_PASSWORD[0], REVOKE_SESSIONS[0], *(kind.permission for kind in KINDS.values())}
    assert named <= set(BY_NAME)


def test_every_permission_that_the_code_mentions_anywhere_is_known_here() -> None:
    pattern = re.compile(r"\"([A-Z][A-Za-z]+(?:-[A-Za-z]+)?\.(?:Read|ReadWrite|RevokeSessions)\.[A-Za-z]+)\"")
    mentioned = {
        name
        for source in (ROOT / "connector").rglob("*.py")
        for name in pattern.findall(source.read_text(encoding="utf-8"))
    }
    known = set(BY_NAME) | set(TIER_ZERO) | {name for names in STAND_INS.values() for name in names}
    assert mentioned >= {"User.Read.All", "AuditLog.Read.All"}
    assert mentioned - known - ACCEPTED <= {"UserAuthMethod-Password.ReadWrite.All"}


def test_what_the_code_takes_for_the_same_right_stands_in_here_too() -> None:
    assert set(READ_USERS[1:]) == set(STAND_INS["User.Read.All"])
    assert set(REVOKE_SESSIONS[1:]) == set(STAND_INS["User.RevokeSessions.All"])
    assert SET_PASSWORD == ("User-PasswordProfile.ReadWrite.All",)


def test_nothing_stands_in_for_setting_passwords() -> None:
    assert "User-PasswordProfile.ReadWrite.All" not in STAND_INS


# ---------------------------------------------------------------- comparing


@pytest.mark.parametrize("held", [ENOUGH, NARROW_ENOUGH])
def test_what_is_enough_is_neither_too_little_nor_too_much(held: frozenset[str]) -> None:
    lines = compare(held)
    assert of(lines, Standing.MISSING) | of(lines, Standing.EXCESS) == set()
    assert of(lines, Standing.OPTIONAL_MISSING) == {
        *(p.name for p in TABLE if p.set is PermissionSet.OPTIONAL),
    } | ({"UserAuthMethod-HardwareOATH.ReadWrite.All"} - held if LIST_METHODS in held else set())


@pytest.mark.parametrize("name", sorted(ENOUGH))
def test_each_one_that_is_left_out_is_missing_by_its_name(name: str) -> None:
    lines = compare(ENOUGH - {name})
    assert of(lines, Standing.MISSING) == {name}
    assert all(line.todo for line in lines if line.state is Standing.MISSING)


def test_nothing_at_all_asks_for_the_one_permission_rather_than_for_a_dozen() -> None:
    assert of(compare(()), Standing.MISSING) == ENOUGH


def test_a_narrow_way_that_was_begun_is_asked_for_to_its_end() -> None:
    held = NARROW_ENOUGH - {"UserAuthMethod-Phone.ReadWrite.All", LIST_METHODS}
    lines = compare(held)
    assert of(lines, Standing.MISSING) == {"UserAuthMethod-Phone.ReadWrite.All", LIST_METHODS}
    needs = {line.name: line.need for line in lines}
    assert needs[LIST_METHODS] is Need.REQUIRED
    assert needs["UserAuthMethod-Phone.ReadWrite.All"] is Need.RECOMMENDED


def test_a_kind_that_is_kept_needs_no_permission() -> None:
    held = NARROW_ENOUGH - {"UserAuthMethod-Phone.ReadWrite.All"}
    lines = compare(held, kept={"UserAuthMethod-Phone.ReadWrite.All"})
    assert of(lines, Standing.MISSING) == set()


def test_the_broad_one_beside_a_few_narrow_ones_is_needed_and_nothing_is_said() -> None:
    lines = compare(ENOUGH | {"UserAuthMethod-Phone.ReadWrite.All", LIST_METHODS})
    assert of(lines, Standing.EXCESS) | of(lines, Standing.MISSING) == set()


def test_the_broad_one_beside_all_narrow_ones_is_too_much() -> None:
    lines = compare(NARROW_ENOUGH | {ANY_METHOD})
    assert of(lines, Standing.EXCESS) == {ANY_METHOD}
    assert "Grant" not in next(line.todo for line in lines if line.state is Standing.EXCESS)


@pytest.mark.parametrize("name", sorted(TIER_ZERO))
def test_each_way_to_global_administrator_is_too_much_and_says_why(name: str) -> None:
    lines = compare(ENOUGH | {name})
    (excess,) = [line for line in lines if line.state is Standing.EXCESS]
    assert excess.name == name
    assert "tier 0" in excess.what_for
    assert excess.todo.startswith("Revoke it in the customer's tenant")


def test_the_most_dangerous_excess_comes_first() -> None:
    lines = compare(ENOUGH | {"Calendars.Read", "RoleManagement.ReadWrite.Directory", "Chat.ReadWrite.All"})
    excess = [line.name for line in lines if line.state is Standing.EXCESS]
    assert excess == ["RoleManagement.ReadWrite.Directory", "Calendars.Read", "Chat.ReadWrite.All"]


def test_what_nobody_here_knows_is_too_much_by_its_name() -> None:
    assert "change" in why_too_much("Brand-New.ReadWrite.All")
    assert "change" not in why_too_much("Brand-New.Read.All")


def test_a_broader_one_stands_in_and_is_told_to_be_replaced_by_what_is_enough() -> None:
    lines = compare((ENOUGH - {"User.Read.All", "User.RevokeSessions.All"}) | {"User.ReadWrite.All"})
    assert of(lines, Standing.MISSING) == set()
    through = {line.name: line.through for line in lines if line.through}
    assert through == {"User.Read.All": "User.ReadWrite.All", "User.RevokeSessions.All": "User.ReadWrite.All"}
    (excess,) = [line for line in lines if line.state is Standing.EXCESS]
    assert excess.todo.startswith("Grant User.Read.All and User.RevokeSessions.All in its place, then revoke")


def test_a_broader_one_does_not_stand_in_for_setting_passwords() -> None:
    lines = compare({"User.ReadWrite.All", "Directory.ReadWrite.All"})
    assert "User-PasswordProfile.ReadWrite.All" in of(lines, Standing.MISSING)


def test_sending_mail_is_too_much_unless_mails_go_out_from_that_tenant() -> None:
    assert states(compare(ENOUGH | {"Mail.Send"}))["Mail.Send"] is Standing.EXCESS
    here = {*sets_of(main=True, alone=True), PermissionSet.MAIL}
    assert states(compare(ENOUGH | {"Mail.Send"}, sets=here))["Mail.Send"] is Standing.HELD
    # Exchange's RBAC for Applications lets an app send without it: that is the better way.
    assert states(compare(ENOUGH, sets=here))["Mail.Send"] is Standing.OPTIONAL_MISSING


def test_of_two_registrations_each_has_its_own_and_the_others_is_too_much() -> None:
    main, second = sets_of(main=True, alone=False), sets_of(main=False, alone=False)
    lines = compare(ENOUGH, sets=main)
    assert of(lines, Standing.EXCESS) == {ANY_METHOD}
    assert of(compare(ENOUGH - {ANY_METHOD}, sets=main), Standing.MISSING) == set()
    assert of(compare({ANY_METHOD}, sets=second), Standing.MISSING) == set()
    excess = of(compare({ANY_METHOD, "User-PasswordProfile.ReadWrite.All"}, sets=second), Standing.EXCESS)
    assert excess == {"User-PasswordProfile.ReadWrite.All"}


@pytest.mark.parametrize(
    ("actions", "not_needed"),
    [
        ({Action.PASSWORD}, {ANY_METHOD}),
        ({Action.MFA}, {"User-PasswordProfile.ReadWrite.All"}),
        ({Action.BOTH}, set()),
        (None, set()),
    ],
)
def test_what_no_ticket_can_ask_for_is_not_needed_yet(actions: set[Action] | None, not_needed: set[str]) -> None:
    lines = compare((), actions=actions)
    assert {line.name for line in lines if not line.needed_now} == not_needed


# ---------------------------------------------------------------- manifests


def test_a_manifest_holds_application_permissions_of_graph_only() -> None:
    (resource,) = required_resource_access(permissions_for({PermissionSet.PASSWORD, PermissionSet.MFA}))
    assert resource["resourceAppId"] == GRAPH_APP_ID
    access = resource["resourceAccess"]
    assert isinstance(access, list)
    assert {row["type"] for row in access} == {"Role"}
    assert {row["id"] for row in access} == {BY_NAME[name].app_role_id for name in ENOUGH}


def test_the_narrow_manifest_has_no_permission_for_all_methods_and_nothing_without_an_id() -> None:
    chosen = permissions_for({PermissionSet.MFA}, narrow_mfa=True)
    assert ANY_METHOD not in {permission.name for permission in chosen}
    (resource,) = required_resource_access(chosen)
    assert isinstance(resource["resourceAccess"], list)
    assert len(resource["resourceAccess"]) == len(NARROW_METHODS)  # the list permission more, the one without id less


def test_what_sets_passwords_reads_accounts_too_and_what_removes_methods_need_not() -> None:
    assert "User.Read.All" in {p.name for p in permissions_for({PermissionSet.PASSWORD})}
    assert {p.name for p in permissions_for({PermissionSet.MFA})} == {ANY_METHOD}


def test_the_papers_table_is_the_one_that_is_compared_with() -> None:
    text = (ROOT / "docs" / "entra.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- permissions: [^>]*-->\n(.*?)\n<!-- /permissions -->", text, re.DOTALL)
    assert table is not None
    assert table[1] == paper()
