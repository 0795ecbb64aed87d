"""Looking accounts up: what Graph says, what it leaves out, and what we make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from connector.core.case import Action, Person
from connector.core.guard import AccountFacts, judge_account
from connector.errors import (
    AmbiguousAccount,
    AuthenticationError,
    ConfigError,
    ConnectorError,
    NoSuchAccount,
    PermanentError,
    TemporaryError,
)
from tests.graph.border import GROUP, ID, PERMISSIONS, UPN, Answers, Back, Border, refused, rows, user

OTHER_ID = "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def reading(border: Border, **changes: Any) -> Any:
    border.on(rf"^GET /users/{ID}\?", Back(200, user(**changes)))
    return border.directory().read("contoso", ID)


# ---------------------------------------------------------------- one call


def test_reading_an_account_is_one_request(border: Border) -> None:
    border.directory(groups=[GROUP]).read("contoso", ID)
    assert border.requests == ["POST /v1.0/$batch"]
    assert len(border.calls) == 7


def test_what_a_user_is_asked_for_is_selected(border: Border) -> None:
    border.directory().read("contoso", ID)
    asked = border.asked(rf"^GET /users/{ID}$")[0].query["$select"].split(",")
    assert {"onPremisesSyncEnabled", "userType", "creationType", "externalUserState", "isManagementRestricted"} <= set(
        asked
    )


def test_memberships_are_filtered_the_way_graph_wants_it(border: Border) -> None:
    border.directory().read("contoso", ID)
    for call in border.asked("microsoft.graph.group"):
        assert call.headers["consistencylevel"] == "eventual"
        assert call.query["$count"] == "true"
        assert call.query["$filter"] == "isAssignableToRole eq true"


def test_more_than_twenty_questions_are_split_into_batches(border: Border) -> None:
    groups = [f"{number:08d}-2222-4333-8444-555555555555" for number in range(20 * 15)]
    border.directory(groups=groups).read("contoso", ID)
    asked = [call.body["groupIds"] for call in border.asked("checkMemberGroups")]
    assert [len(ids) for ids in asked] == [20] * 15
    assert sorted(id_ for ids in asked for id_ in ids) == groups
    assert len(border.requests) == 2  # 21 questions


# ---------------------------------------------------------------- resolving an address


@pytest.mark.parametrize(
    "address",
    ["o'neil@contoso.example", "a+b@contoso.example", "$x@contoso.example", "a#b@contoso.example",
     "a&b=c@contoso.example", "a%27b@contoso.example", "zoë@contoso.example", "50%@contoso.example"],
)  # fmt: skip
def test_an_address_reaches_graph_letter_for_letter(border: Border, address: str) -> None:
    border.on(r"^GET /users\?", rows())
    with pytest.raises(NoSuchAccount):
        border.directory().find("contoso", address)
    quoted = address.replace("'", "''")
    assert sorted(call.query["$filter"] for call in border.calls) == sorted(
        [
            f"userPrincipalName eq '{quoted}'",
            f"mail eq '{quoted}'",
            f"proxyAddresses/any(p:p eq 'smtp:{quoted}') or proxyAddresses/any(p:p eq 'SMTP:{quoted}')",
            f"otherMails/any(p:p eq '{quoted}')",
        ]
    )


@pytest.mark.parametrize(
    "address", ["", " ", "nobody", "@contoso.example", "a@", "a b@c", "a\n@c.d", "x" * 330 + "@c.d"]
)
def test_what_is_no_address_is_not_looked_up(border: Border, address: str) -> None:
    with pytest.raises(NoSuchAccount):
        border.directory().find("contoso", address)
    assert border.requests == []


def test_the_same_account_found_twice_is_one(border: Border) -> None:
    border.on(r"^GET /users\?", rows({"id": ID}))
    assert border.directory().find("contoso", UPN).id == ID


def test_two_accounts_by_different_kinds_of_address_are_ambiguous(border: Border) -> None:
    border.on(r"^GET /users\?.*otherMails", rows({"id": OTHER_ID}))
    with pytest.raises(AmbiguousAccount):
        border.directory().find("contoso", UPN)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(400, "Request_UnsupportedQuery"), PermanentError),
        (refused(429, "TooManyRequests"), TemporaryError),
        (refused(503, "serviceUnavailable"), TemporaryError),
        (rows({"id": "no id"}), TemporaryError),
        (Back(200, {"value": None}), TemporaryError),
        (Back(200, None), TemporaryError),
    ],
)
def test_a_question_without_an_answer_may_hide_a_second_account(
    border: Border, answer: Back, error: type[ConnectorError]
) -> None:
    border.on(r"^GET /users\?.*otherMails", answer)
    with pytest.raises(error):
        border.directory().find("contoso", UPN)


def test_without_the_right_to_read_accounts_the_tenant_stops(border: Border) -> None:
    border.roles = [name for name in PERMISSIONS if name != "User.Read.All"]
    border.on(r"^GET /users\?", refused(403, "Authorization_RequestDenied"))
    with pytest.raises(AuthenticationError, match=r"User\.Read\.All") as refusal:
        border.directory().find("contoso", UPN)
    assert refusal.value.scope == "tenant.contoso"


# ---------------------------------------------------------------- the facts


@pytest.mark.parametrize(
    "changes",
    [
        {"userType": "Guest"},
        {"userType": "guest"},
        {"creationType": "Invitation"},
        {"externalUserState": "PendingAcceptance"},
        {"userPrincipalName": "dana_example.com#EXT#@contoso.example"},
    ],
)
def test_any_sign_of_a_guest_makes_a_guest(border: Border, changes: dict[str, Any]) -> None:
    account = reading(border, **changes)
    assert account.guest
    assert account.unknown == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"onPremisesSyncEnabled": True}, "synchronised"),
        ({"isManagementRestricted": True}, "restricted"),
    ],
)
def test_plain_facts_show(border: Border, changes: dict[str, Any], field: str) -> None:
    assert getattr(reading(border, **changes), field) is True


def test_an_account_without_a_type_is_not_touched(border: Border) -> None:
    assert reading(border, userType=None).unknown


@pytest.mark.parametrize(
    "key",
    ["accountEnabled", "userType", "creationType", "externalUserState", "onPremisesSyncEnabled", "otherMails",
     "proxyAddresses", "isManagementRestricted", "userPrincipalName"],
)  # fmt: skip
def test_a_property_that_graph_left_out_is_unknown(border: Border, key: str) -> None:
    shown = user()
    del shown[key]
    border.on(rf"^GET /users/{ID}\?", Back(200, shown))
    assert border.directory().read("contoso", ID).unknown != ()


@pytest.mark.parametrize("key", ["accountEnabled", "onPremisesSyncEnabled", "isManagementRestricted"])
def test_a_property_of_another_type_is_unknown(border: Border, key: str) -> None:
    assert reading(border, **{key: "True"}).unknown != ()


def test_every_address_is_known_folded(border: Border) -> None:
    account = reading(
        border,
        mail="Dana.Other@Contoso.example",
        otherMails=["Private@Example.com"],
        proxyAddresses=[
            "SMTP:One@contoso.example",
            "smtp:two@contoso.example",
            "SIP:three@contoso.example",
            "X500:/o=x@y",
        ],
        identities=[{"signInType": "emailAddress", "issuerAssignedId": "Four@example.com"}, "odd"],
    )
    assert account.addresses == {
        UPN, "dana.other@contoso.example", "private@example.com", "one@contoso.example", "two@contoso.example",
        "three@contoso.example", "four@example.com",
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [refused(403, "Authorization_RequestDenied"), refused(400, "Request_UnsupportedQuery"), refused(404, "odd"),
     Back(200, None), Back(200, {"value": "odd"}), Back(200, {"value": ["odd"]}), Back(302, None)],
)  # fmt: skip
@pytest.mark.parametrize("question", ["directoryRole", "transitiveMemberOf/microsoft.graph.group", "organization",
                                      "checkMemberGroups"])  # fmt: skip
def test_a_question_that_was_not_answered_makes_the_account_unknown(
    border: Border, question: str, answer: Answers
) -> None:
    border.on(question, answer)
    border.on(r"^GET /domains", refused(403, "Authorization_RequestDenied"))
    account = border.directory(groups=[GROUP]).read("contoso", ID)
    assert account.unknown or account.protected_by


@pytest.mark.parametrize("question", ["directoryRole", "microsoft.graph.group", "organization", "checkMemberGroups",
                                      "domains", rf"users/{ID}\?"])  # fmt: skip
@pytest.mark.parametrize("status", [429, 500, 503, 504, 424])
def test_passing_trouble_with_any_question_is_waited_out(border: Border, question: str, status: int) -> None:
    border.on(question, refused(status, "odd", **{"retry-after": "9"}))
    with pytest.raises(TemporaryError) as failure:
        border.directory(groups=[GROUP]).read("contoso", ID)
    assert failure.value.retry_after == timedelta(seconds=9)


def test_a_role_whose_name_is_hidden_counts(border: Border) -> None:
    hidden = {"id": OTHER_ID, "displayName": None, "roleTemplateId": None}
    border.on("directoryRole", rows(hidden, {"id": GROUP, "displayName": "Helpdesk Administrator"}, {}))
    roles = border.directory().read("contoso", ID).admin_roles
    assert roles == (f"administrator role {OTHER_ID}", "Helpdesk Administrator", "administrator role without a name")


def test_a_group_whose_properties_are_hidden_counts(border: Border) -> None:
    border.on("transitiveMemberOf/microsoft.graph.group", rows({"id": GROUP, "isAssignableToRole": None}))
    assert border.directory().read("contoso", ID).privileged_groups == (f"role-assignable group {GROUP}",)


def test_a_filter_that_graph_ignored_does_no_harm(border: Border) -> None:
    plain = {"id": GROUP, "displayName": "All staff", "isAssignableToRole": False}
    border.on("microsoft.graph.group", rows(plain))
    account = border.directory().read("contoso", ID)
    assert (account.privileged_groups, account.unknown) == ((), ())


def test_a_second_page_is_not_taken_for_nothing(border: Border) -> None:
    border.on("microsoft.graph.group", rows(**{"@odata.nextLink": "https://graph.example.com/v1.0/more"}))
    assert border.directory().read("contoso", ID).unknown != ()


# ---------------------------------------------------------------- owners of role-assignable groups


def test_where_owned_objects_are_refused_the_groups_are_asked(border: Border) -> None:
    border.on("ownedObjects", refused(403, "Authorization_RequestDenied"))
    border.on(r"^GET /groups", rows({"id": GROUP, "displayName": "Service desk", "owners": [{"id": ID}]}))
    account = border.directory().read("contoso", ID)
    assert account.privileged_groups == ("Service desk",)
    assert account.unknown == ()
    assert len(border.tokens) == 1


def test_not_being_among_the_owners_is_an_answer(border: Border) -> None:
    border.on("ownedObjects", refused(403, "Authorization_RequestDenied"))
    border.on(r"^GET /groups", rows({"id": GROUP, "owners": [{"id": OTHER_ID}]}))
    account = border.directory().read("contoso", ID)
    assert (account.privileged_groups, account.unknown) == ((), ())


@pytest.mark.parametrize(
    "answer",
    [
        refused(403, "Authorization_RequestDenied"),
        rows({"id": GROUP}),
        rows({"id": GROUP, "owners": [{"id": OTHER_ID}] * 20}),
        rows(**{"@odata.nextLink": "https://graph.example.com/v1.0/more"}),
    ],
    ids=["refused", "no owners shown", "more owners than are shown", "more groups than are shown"],
)
def test_owners_that_cannot_be_told_make_the_account_unknown(border: Border, answer: Back) -> None:
    border.on("ownedObjects", refused(403, "Authorization_RequestDenied"))
    border.on(r"^GET /groups", answer)
    assert border.directory().read("contoso", ID).unknown != ()


# ---------------------------------------------------------------- domains

DOMAIN = UPN.partition("@")[2]
NO_RIGHT = refused(403, "Authorization_RequestDenied")


def organization(*domains: Any) -> Back:
    return rows({"id": GROUP, "verifiedDomains": list(domains)})


@pytest.mark.parametrize(
    ("organization_says", "domains_say", "verified", "federated", "known"),
    [
        (organization({"name": DOMAIN, "type": "Managed"}), NO_RIGHT, True, False, True),
        (organization({"name": DOMAIN, "type": "Federated"}), NO_RIGHT, True, True, True),
        (organization({"name": DOMAIN.upper(), "type": "managed"}), NO_RIGHT, True, False, True),
        (organization({"name": DOMAIN}), NO_RIGHT, True, False, False),
        (organization({"name": DOMAIN, "type": "Odd"}), NO_RIGHT, True, False, False),
        (organization({"name": "other.example", "type": "Managed"}), NO_RIGHT, False, False, True),
        (organization(), NO_RIGHT, False, False, False),
        (NO_RIGHT, rows({"id": DOMAIN, "isVerified": True, "authenticationType": "Managed"}), True, False, True),
        (NO_RIGHT, rows({"id": DOMAIN, "isVerified": True, "authenticationType": "Federated"}), True, True, True),
        (NO_RIGHT, rows({"id": DOMAIN, "isVerified": False, "authenticationType": "Managed"}), False, False, True),
        (NO_RIGHT, NO_RIGHT, False, False, False),
        (
            organization({"name": DOMAIN, "type": "Managed"}),
            rows({"id": DOMAIN, "isVerified": True, "authenticationType": "Federated"}), True, True, True,
        ),
    ],
)  # fmt: skip
def test_the_domain_is_judged_by_whatever_can_be_read(
    border: Border, organization_says: Back, domains_say: Back, verified: bool, federated: bool, known: bool
) -> None:
    border.on(r"^GET /organization", organization_says)
    border.on(r"^GET /domains", domains_say)
    account = border.directory().read("contoso", ID)
    assert (account.domain_verified, account.federated, account.unknown == ()) == (verified, federated, known)


def test_a_domain_that_only_ends_like_a_verified_one_is_not_verified(border: Border) -> None:
    assert not reading(border, userPrincipalName=f"dana@evil{DOMAIN}").domain_verified


# ---------------------------------------------------------------- protected by the configuration


@pytest.mark.parametrize("entry", [ID, ID.upper(), UPN, f" {UPN.upper()} ", "Private@Example.com"])
def test_a_protected_user_is_recognised_by_id_or_any_address(border: Border, entry: str) -> None:
    border.on(rf"^GET /users/{ID}\?", Back(200, user(otherMails=["private@example.com"])))
    account = border.directory(users=[entry]).read("contoso", ID)
    assert account.protected_by == f"tenants.contoso.protected.users: {entry}"


def test_a_member_of_a_protected_group_names_the_group(border: Border) -> None:
    border.on("checkMemberGroups", rows(GROUP))
    account = border.directory(groups=[GROUP]).read("contoso", ID)
    assert account.protected_by == f"tenants.contoso.protected.groups: {GROUP}"


def test_groups_are_protected_by_id_only(border: Border) -> None:
    with pytest.raises(ConfigError, match=r"tenants\.contoso\.protected\.groups"):
        border.directory(groups=["Board"])


# ---------------------------------------------------------------- answers that are not for us


def test_a_deleted_account_is_gone(border: Border) -> None:
    border.on(rf"^GET /users/{ID}\?", refused(404, "Request_ResourceNotFound"))
    with pytest.raises(NoSuchAccount):
        border.directory().read("contoso", ID)


@pytest.mark.parametrize(
    "account_id", ["", "me", "../me", UPN, f"{ID}/authentication", f"{{{ID}}}", ID.replace("-", "")]
)
def test_what_is_no_object_id_is_never_sent(border: Border, account_id: str) -> None:
    with pytest.raises(NoSuchAccount):
        border.directory().read("contoso", account_id)
    assert border.requests == []


@pytest.mark.parametrize("body", [None, [], "odd", {"id": OTHER_ID}, {}])
def test_an_answer_about_somebody_else_is_no_answer(border: Border, body: Any) -> None:
    border.on(rf"^GET /users/{ID}\?", Back(200, body))
    with pytest.raises(TemporaryError):
        border.directory().read("contoso", ID)


@pytest.mark.parametrize(
    "answer",
    [
        Back(200, {"responses": []}),
        Back(200, {"responses": None}),
        Back(200, ["odd"]),
        Back(200, {"responses": ["odd", {"id": "user"}, {"status": 200}, {"id": "user", "status": "200"}]}),
        Back(200, text="<html>"),
        Back(500, text="<html>"),
        Back(429, {}, {"Retry-After": "60"}),
        requests.exceptions.ReadTimeout("slow"),
    ],
)
def test_a_batch_that_is_none_is_waited_out(border: Border, answer: Back | Exception) -> None:
    border.batch_answers = [answer] * 3
    with pytest.raises(TemporaryError):
        border.directory().read("contoso", ID)


@pytest.mark.parametrize("status", [400, 404])
def test_a_refused_batch_is_not_taken_for_a_missing_account(border: Border, status: int) -> None:
    border.batch_answers = [refused(status, "BadRequest")]
    with pytest.raises(PermanentError) as refusal:
        border.directory().read("contoso", ID)
    assert not isinstance(refusal.value, NoSuchAccount)


def test_a_tenant_that_is_not_configured_is_named(border: Border) -> None:
    with pytest.raises(ConfigError, match=r"tenants\.northwind"):
        border.directory().read("northwind", ID)


# ---------------------------------------------------------------- roles by assignment and eligibility

ROLES = "RoleManagement.Read.Directory"
NO_LICENCE = refused(400, "AadPremiumLicenseRequired", "The tenant needs a licence.")


@pytest.mark.parametrize(("path", "fact"), [("roleAssignments", "admin_roles"),
                                            ("roleEligibilityScheduleInstances", "eligible_roles")])  # fmt: skip
def test_custom_roles_and_roles_to_be_activated_show_where_we_may_read_them(
    border: Border, path: str, fact: str
) -> None:
    border.roles = [*PERMISSIONS, ROLES]
    border.on(r"^GET /roleManagement/", rows())
    border.on(rf"^GET /roleManagement/directory/{path}.*principalId eq '{ID}'", rows({"roleDefinitionId": "r-1"}))
    account = border.directory().read("contoso", ID)
    assert getattr(account, fact) == ("role r-1",)
    assert account.unknown == ()
    assert border.requests == ["POST /v1.0/$batch"], "still one call"


def test_without_the_permission_for_roles_they_are_not_asked_for(border: Border) -> None:
    account = border.directory().read("contoso", ID)
    assert border.asked("roleManagement") == []
    assert account.unknown == ()


@pytest.mark.parametrize("path", ["roleAssignments", "roleEligibilityScheduleInstances"])
@pytest.mark.parametrize(
    "odd", [refused(403, "Authorization_RequestDenied"), Back(200, {}), Back(200, {"value": ["x"]})]
)
def test_roles_that_should_be_readable_and_are_not_count_as_unknown(border: Border, path: str, odd: Back) -> None:
    border.roles = [*PERMISSIONS, ROLES]
    border.on(r"^GET /roleManagement/", rows())
    border.on(rf"^GET /roleManagement/directory/{path}", odd)
    assert border.directory().read("contoso", ID).unknown != ()


def test_a_tenant_without_the_licence_has_no_roles_to_activate(border: Border) -> None:
    border.roles = [*PERMISSIONS, ROLES]
    border.on(r"^GET /roleManagement/", rows())
    border.on(r"roleEligibilityScheduleInstances", NO_LICENCE)
    account = border.directory().read("contoso", ID)
    assert (account.eligible_roles, account.unknown) == ((), ())


# ---------------------------------------------------------------- addresses


def test_an_alternate_address_stands_for_nobody(border: Border) -> None:
    """Whoever may write such an address to an account could otherwise choose whose account a ticket means."""
    border.on(r"^GET /users\?.*userPrincipalName eq", rows())
    border.on(r"^GET /users\?.*otherMails", rows({"id": ID, "userPrincipalName": UPN}))
    with pytest.raises(AmbiguousAccount, match="only an alternate address") as refusal:
        border.directory().find("contoso", "dana.private@example.com")
    assert refusal.value.ids == (ID,)


def test_an_alternate_address_beside_a_better_one_is_fine(border: Border) -> None:
    border.on(r"^GET /users\?.*otherMails", rows({"id": ID, "userPrincipalName": UPN}))
    assert border.directory().find("contoso", UPN).id == ID


@pytest.mark.parametrize("kind", ["mail eq", "proxyAddresses", "otherMails"])
def test_two_accounts_are_named_with_how_each_is_known(border: Border, kind: str) -> None:
    other = "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    border.on(rf"^GET /users\?.*{kind}", rows({"id": other, "userPrincipalName": "other@contoso.example"}))
    with pytest.raises(AmbiguousAccount, match=r"other@contoso\.example") as refusal:
        border.directory().find("contoso", UPN)
    assert set(refusal.value.ids) == {ID, other}


def test_half_a_list_of_accounts_is_no_list(border: Border) -> None:
    more = {"@odata.nextLink": "https://graph.example.com/next"}
    border.on(r"^GET /users\?.*mail eq", rows({"id": ID, "userPrincipalName": UPN}, **more))
    with pytest.raises(TemporaryError):
        border.directory().find("contoso", UPN)


# ---------------------------------------------------------------- around an account


def test_the_home_of_an_address_is_the_tenant_that_has_verified_its_domain(border: Border) -> None:
    directory = border.directory(tenants=("fabrikam", "contoso"))
    assert directory.home_of(f"somebody@{UPN.partition('@')[2]}".upper()) == "fabrikam"
    assert directory.home_of("somebody@elsewhere.example") == ""
    assert directory.home_of("no address") == ""


def test_the_domains_of_a_tenant_are_read_once_a_day_also_when_that_fails(border: Border) -> None:
    border.on(r"^GET /organization", refused(403, "Authorization_RequestDenied"))
    directory = border.directory(tenants=("fabrikam", "contoso"))
    for _ in range(5):
        assert directory.home_of(UPN) == ""
    assert len(border.asked("/organization")) <= 4  # two tenants, each with a second try on a new token
    asked = len(border.asked("/organization"))
    border.time.sleep(timedelta(hours=25).total_seconds())
    directory.home_of(UPN)
    assert len(border.asked("/organization")) > asked


def test_not_all_of_many_tenants_are_asked_for_one_ticket(border: Border) -> None:
    border.on(r"^GET /organization", rows({"id": "x", "verifiedDomains": [{"name": "other.example"}]}))
    border.directory(tenants=[f"t{number}" for number in range(30)]).home_of(UPN)
    assert len(border.asked("/organization")) == 10


@pytest.mark.parametrize("capable", [True, False])
def test_who_can_help_themselves_is_known_where_the_report_may_be_read(border: Border, capable: bool) -> None:
    border.roles = [*PERMISSIONS, "AuditLog.Read.All"]
    border.on(r"userRegistrationDetails", Back(200, {"id": ID, "isSsprCapable": capable}))
    assert border.directory().can_help_itself("contoso", ID) is capable


@pytest.mark.parametrize("odd", [
    Back(429, headers={"Retry-After": "9"}), Back(503), refused(404, "Request_ResourceNotFound"),
    refused(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant"), Back(200, {"isSsprCapable": "yes"}),
])  # fmt: skip
def test_a_report_that_cannot_be_read_is_no_hint_and_no_trouble(border: Border, odd: Back) -> None:
    border.roles = [*PERMISSIONS, "AuditLog.Read.All"]
    border.on(r"userRegistrationDetails", odd)
    assert border.directory().can_help_itself("contoso", ID) is None
    assert border.time.slept == []


def test_without_the_permission_the_report_is_not_asked_for(border: Border) -> None:
    assert border.directory().can_help_itself("contoso", ID) is None
    assert border.calls == []


def test_no_trouble_of_a_hint_reaches_the_caller(border: Border) -> None:
    border.token_answers = [refused(400, "invalid_client")]
    assert border.directory().can_help_itself("contoso", ID) is None


def test_the_times_of_the_last_reset_are_read_as_microsoft_writes_them(border: Border) -> None:
    border.on(rf"^GET /users/{ID}\?", Back(200, user(
        lastPasswordChangeDateTime="2026-11-22T10:00:00.1234567Z", signInSessionsValidFromDateTime=None)))  # fmt: skip
    account = border.directory().read("contoso", ID)
    assert account.password_set_at is not None
    assert account.password_set_at.isoformat().startswith("2026-11-22T10:00:00.123456")
    assert account.sessions_valid_from is None
    assert account.unknown == ()


# ---------------------------------------------------------------- the table "who can reset passwords"

BUILT_IN = [
    "Password Administrator", "Directory Readers", "Guest Inviter", "Message Center Reader", "Reports Reader",
    "Usage Summary Reports Reader", "Helpdesk Administrator", "Authentication Administrator", "Groups Administrator",
    "User Administrator", "Global Administrator", "Privileged Authentication Administrator",
    "Privileged Role Administrator", "A role that is not in the table",
]  # fmt: skip


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", BUILT_IN)
def test_whoever_holds_a_role_is_refused_whatever_microsoft_would_allow(
    border: Border, role: str, action: Action
) -> None:
    border.on(r"transitiveMemberOf/microsoft.graph.directoryRole", rows({"id": "1", "displayName": role}))
    assert refusal_of(border, action) == "admin_role"


@pytest.mark.parametrize("hidden", [{"id": "1"}, {"id": "1", "displayName": None, "roleTemplateId": None}, {}])
def test_a_role_whose_name_we_may_not_read_is_a_role(border: Border, hidden: dict[str, Any]) -> None:
    border.on(r"transitiveMemberOf/microsoft.graph.directoryRole", rows(hidden))
    assert refusal_of(border, Action.MFA) == "admin_role"


@pytest.mark.parametrize("scope", ["/", "/administrativeUnits/5"])
def test_a_custom_role_is_a_role_at_any_scope(border: Border, scope: str) -> None:
    border.roles = [*PERMISSIONS, ROLES]
    border.on(r"^GET /roleManagement/", rows())
    border.on(r"roleAssignments", rows({"id": "a", "roleDefinitionId": "custom", "directoryScopeId": scope}))
    assert refusal_of(border, Action.PASSWORD) == "admin_role"


@pytest.mark.parametrize("how", ["transitiveMemberOf", "ownedObjects"])
def test_members_and_owners_of_role_assignable_groups_are_refused(border: Border, how: str) -> None:
    border.on(rf"{how}/microsoft.graph.group", rows({"id": GROUP, "displayName": "Admins", "isAssignableToRole": True}))
    assert refusal_of(border, Action.PASSWORD) == "privileged_group"


def test_an_account_of_a_restricted_unit_is_refused(border: Border) -> None:
    border.on(rf"^GET /users/{ID}\?", Back(200, user(isManagementRestricted=True)))
    assert refusal_of(border, Action.MFA) == "restricted"


def test_an_account_without_any_of_these_is_not_refused(border: Border) -> None:
    assert refusal_of(border, Action.BOTH) == ""


def refusal_of(border: Border, action: Action) -> str:
    requester = Person("Ben", "ben@contoso.example")
    facts = AccountFacts(action=action, account=border.directory().read("contoso", ID), requester=requester)
    refusal = judge_account(facts)
    assert [call for call in border.calls if call.method in ("PATCH", "DELETE")] == []
    return refusal.code if refusal else ""


# ---------------------------------------------------------------- alternate addresses, and the manager


def test_alternate_addresses_are_as_written_and_lead_elsewhere(border: Border) -> None:
    account = reading(
        border,
        mail="Dana@Contoso.example",
        otherMails=["Dana.Private@Home.example", f"dana+help@{UPN.partition('@')[2]}", "one@contoso.example", "",
                    "no address", " second@home.example ", "Dana.Private@Home.example"],
        proxyAddresses=["SMTP:dana@contoso.example", "smtp:ONE@contoso.example"],
    )  # fmt: skip
    assert account.alternate_mails == ("Dana.Private@Home.example", "second@home.example")


@pytest.mark.parametrize("others", [None, "dana@home.example", [5]])
def test_alternate_addresses_that_cannot_be_read_are_none(border: Border, others: object) -> None:
    assert reading(border, otherMails=others).alternate_mails == ()


MANAGER_ID = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee"
MANAGER = {
    "@odata.type": "#microsoft.graph.user", "id": MANAGER_ID, "displayName": "Lee", "mail": "Lee@contoso.example",
    "userPrincipalName": "lee.manager@contoso.example", "accountEnabled": True,
}  # fmt: skip


def manager(border: Border, answer: Answers) -> Person | None:
    border.on(rf"^GET /users/{ID}/manager", answer)
    return border.directory().manager_of("contoso", ID)


def test_the_manager_is_one_call_for_what_is_needed(border: Border) -> None:
    found = manager(border, Back(200, MANAGER))
    assert found == Person(
        name="Lee",
        email="Lee@contoso.example",
        ids=frozenset({f"entra:{MANAGER_ID}", "mail:lee@contoso.example", "mail:lee.manager@contoso.example"}),
    )
    assert border.requests == [f"GET /v1.0/users/{ID}/manager"]
    assert border.calls[0].query["$select"] == "id,displayName,mail,userPrincipalName,accountEnabled,proxyAddresses"


def test_a_manager_without_a_mailbox_has_no_address(border: Border) -> None:
    found = manager(border, Back(200, {**MANAGER, "mail": None}))
    assert found is not None
    assert (found.name, found.email) == ("Lee", None)


def test_a_manager_of_whom_only_the_id_may_be_read_is_somebody_without_an_address(border: Border) -> None:
    hidden = {"@odata.type": "#microsoft.graph.orgContact", "id": MANAGER_ID, "displayName": None, "mail": None}
    assert manager(border, Back(200, hidden)) == Person(name="", ids=frozenset({f"entra:{MANAGER_ID}"}))


@pytest.mark.parametrize(
    "answer", [refused(404, "Request_ResourceNotFound"), Back(200, {**MANAGER, "accountEnabled": False})]
)
def test_nobody_and_somebody_who_left_are_no_managers(border: Border, answer: Back) -> None:
    assert manager(border, answer) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(429, "TooManyRequests"), TemporaryError),
        (refused(503, "serviceUnavailable"), TemporaryError),
        (Back(200, {"value": []}), TemporaryError),
        (Back(200, None), TemporaryError),
        (refused(400, "Request_UnsupportedQuery"), PermanentError),
        (requests.ConnectionError(), TemporaryError),
    ],
)
def test_a_question_for_the_manager_without_an_answer_is_no_no(
    border: Border, answer: Answers, error: type[ConnectorError]
) -> None:
    with pytest.raises(error):
        manager(border, answer)


def test_without_the_right_to_read_accounts_the_manager_stops_the_tenant(border: Border) -> None:
    border.roles = [name for name in PERMISSIONS if name != "User.Read.All"]
    with pytest.raises(AuthenticationError, match=r"User\.Read\.All") as refusal:
        manager(border, refused(403, "Authorization_RequestDenied"))
    assert refusal.value.scope == "tenant.contoso"


def test_the_manager_of_something_odd_is_not_asked_for(border: Border) -> None:
    assert border.directory().manager_of("contoso", "../users") is None
    assert border.requests == []
