"""What `connector check` finds out about a tenant, and about the credentials."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from datetime import timedelta

import pytest

from connector.config import RegistrationSection
from connector.core.case import Action
from connector.core.ports import Level
from connector.core.secret import Secret
from connector.errors import ConfigError
from connector.graph.excess import NOT_A_ROLE, USER_ADMINISTRATOR
from connector.graph.methods import KINDS
from connector.graph.report import CredentialLine, TenantReport, expiry_warnings
from tests.graph.border import TENANT, Back, Border, refused, rows
from tests.graph.test_against_sandbox import make_certificate

ENOUGH = (
    "User.Read.All",
    "GroupMember.Read.All",
    "RoleManagement.Read.Directory",
    "Domain.Read.All",
    "User-PasswordProfile.ReadWrite.All",
    "User.RevokeSessions.All",
    "UserAuthenticationMethod.ReadWrite.All",
)
NARROW = tuple(kind.permission for kind in KINDS.values() if kind.version == "v1.0")
OBJECT = "0b1ec700-1111-4222-8333-444455556666"
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"


def token_with(**claims: object) -> Back:
    """An answer of the sign-in service with a token of these claims, signed by nobody."""
    parts = [{"alg": "none"}, {"uti": secrets.token_hex(4), **claims}]
    head, body = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    token = f"{head}.{body}.{secrets.token_urlsafe(8)}"
    return Back(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})


def levels(border: Border) -> list[tuple[str, str]]:
    """The findings about the tenant, without those about credentials."""
    findings = border.directory().check("contoso")
    return [(str(finding.level), finding.text) for finding in findings if finding.about.startswith("tenants.")]


def wrong(report: TenantReport) -> list[tuple[str, str]]:
    return [(str(finding.level), finding.text) for finding in report.findings if finding.level is not Level.OK]


@pytest.fixture(autouse=True)
def _enough(border: Border) -> None:
    border.roles = ENOUGH


# ---------------------------------------------------------------- permissions


def test_a_tenant_in_order_is_found_in_order(border: Border) -> None:
    assert {level for level, _ in levels(border)} == {"ok"}


@pytest.mark.parametrize("missing", ENOUGH)
def test_a_missing_permission_is_named_with_what_to_do(border: Border, missing: str) -> None:
    border.roles = [name for name in ENOUGH if name != missing]
    findings = [finding for finding in border.directory().check("contoso") if finding.level is not Level.OK]
    assert [(finding.level, missing in finding.text, bool(finding.todo)) for finding in findings] == [
        (
            Level.WARNING
            if missing in ("GroupMember.Read.All", "Domain.Read.All", "RoleManagement.Read.Directory")
            else Level.ERROR,
            True,
            True,
        )
    ]


def test_narrow_permissions_warn_of_each_kind_that_is_left_out(border: Border) -> None:
    border.roles = [
        *(name for name in ENOUGH if not name.startswith("UserAuthenticationMethod")),
        "UserAuthenticationMethod.Read.All",
        *(name for name in NARROW if "Phone" not in name),
    ]
    assert [(level, "UserAuthMethod-Phone.ReadWrite.All" in text) for level, text in levels(border) if level != "ok"] \
        == [("warning", True)]  # fmt: skip


def test_kinds_that_are_kept_need_no_permission(border: Border) -> None:
    border.roles = [
        *(name for name in ENOUGH if not name.startswith("UserAuthenticationMethod")),
        "UserAuthenticationMethod.Read.All",
        *(name for name in NARROW if "Phone" not in name),
    ]
    assert wrong(border.directory(keep=["phone"]).report("contoso")) == []


def test_a_permission_that_no_ticket_can_ask_for_yet_is_a_warning(border: Border) -> None:
    border.roles = [name for name in ENOUGH if name != "UserAuthenticationMethod.ReadWrite.All"]
    directory = border.directory()
    (found,) = wrong(directory.report("contoso", actions={Action.PASSWORD}))
    assert found[0] == "warning"
    assert found[1].endswith("No configured ticket asks for that yet.")
    assert [level for level, _ in wrong(directory.report("contoso", actions={Action.BOTH}))] == ["error"]


def test_too_much_is_a_warning_that_says_why_and_what_is_enough(border: Border) -> None:
    border.roles = [*(name for name in ENOUGH if name != "User.Read.All"), "Directory.ReadWrite.All", "Mail.Send"]
    findings = [finding for finding in border.directory().check("contoso") if finding.level is not Level.OK]
    assert [finding.level for finding in findings] == [Level.WARNING, Level.WARNING]
    assert "Directory.ReadWrite.All is too much" in findings[0].text
    assert "tier 0" in findings[0].text
    assert "Grant User.Read.All in its place" in findings[0].todo
    assert "Mail.Send is too much" in findings[1].text


def test_sending_mail_is_in_order_where_the_mails_go_out_from(border: Border) -> None:
    border.roles = [*ENOUGH, "Mail.Send"]
    assert wrong(border.directory().report("contoso", sends_mail=True)) == []


def test_an_app_that_was_granted_nothing_is_one_error_with_the_consent_link(border: Border) -> None:
    border.roles = []
    border.on(r"^GET /organization", refused(403, "Authorization_RequestDenied"))
    report = border.directory().report("contoso")
    errors = [finding for finding in report.findings if "no permission" in finding.text]
    assert len(errors) == 1
    assert report.apps[0].consent_link in errors[0].todo
    assert "is missing" not in " ".join(finding.text for finding in report.findings)


def test_an_opaque_token_is_a_warning(border: Border) -> None:
    border.roles = None
    assert [level for level, _ in levels(border)] == ["ok", "warning", "ok"]


def test_a_token_whose_roles_are_no_list_is_opaque_too(border: Border) -> None:
    border.token_answers = [token_with(roles="User.Read.All")]
    assert border.directory().report("contoso").apps[0].opaque


# ---------------------------------------------------------------- signing in


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (7000215, "paste the secret's Value"),
        (7000222, "expired"),
        (7000229, "adminconsent?client_id=app"),
        (65001, "adminconsent?client_id=app"),
        (90002, "tenants.contoso.tenant_id"),
    ],
)
def test_a_tenant_that_cannot_be_signed_in_to_is_one_clear_error(border: Border, code: int, says: str) -> None:
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [code]})]
    found = levels(border)
    assert [level for level, _ in found] == ["error"]
    assert says in found[0][1]
    assert border.requests == []  # Graph was not even asked


def test_a_refused_tenant_still_shows_its_consent_link(border: Border) -> None:
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [7000229]})]
    report = border.directory().report("contoso")
    assert not report.signed_in
    assert report.apps[0].consent_link == f"https://login.example.com/{TENANT[:-2]}00/adminconsent?client_id=app"


def test_a_sign_in_service_that_is_away_is_an_error_that_may_pass(border: Border) -> None:
    border.token_answers = [Back(503)] * 8
    (finding,) = border.directory().report("contoso").findings
    assert (finding.level, finding.temporary) == (Level.ERROR, True)


def test_a_tenant_that_is_not_configured_is_an_error_and_no_crash(border: Border) -> None:
    findings = [finding for finding in border.directory().check("nobody") if finding.level is Level.ERROR]
    assert [finding.about for finding in findings] == ["tenants.nobody"]
    with pytest.raises(ConfigError):
        border.directory().report("nobody")


def test_of_two_apps_each_is_looked_at_for_what_it_is_for(border: Border) -> None:
    second = RegistrationSection(client_id="second", client_secret=border.secret)
    border.token_answers = [
        token_with(roles=[*ENOUGH[:-1], "UserAuthenticationMethod.ReadWrite.All"]),
        token_with(roles=["User-PasswordProfile.ReadWrite.All"]),
    ]
    report = border.directory(mfa=second).report("contoso")
    assert [app.place for app in report.apps] == ["graph", "graph.mfa"]
    assert [(level, text.split(",")[0].split(". ")[0]) for level, text in wrong(report)] == [
        ("warning", "The permission UserAuthenticationMethod.ReadWrite.All is too much"),
        ("error", "The permission UserAuthenticationMethod.ReadWrite.All for graph.mfa is missing"),
        ("warning", "The permission User-PasswordProfile.ReadWrite.All for graph.mfa is too much"),
    ]


# ---------------------------------------------------------------- roles of the app


def test_the_ids_that_every_token_carries_are_no_roles(border: Border) -> None:
    border.token_answers = [token_with(roles=ENOUGH, wids=sorted(NOT_A_ROLE), oid=OBJECT)]
    report = border.directory().report("contoso")
    assert report.apps[0].roles == ()
    assert wrong(report) == []


def test_user_administrator_may_be_needed_and_is_no_fault_either_way(border: Border) -> None:
    for wids in ([], [USER_ADMINISTRATOR]):
        border.token_answers = [token_with(roles=ENOUGH, wids=wids, oid=OBJECT)]
        report = border.directory().report("contoso")
        assert wrong(report) == []
        assert any("User Administrator" in finding.text for finding in report.findings)


def test_global_administrator_is_too_much_and_an_unknown_role_too(border: Border) -> None:
    unknown = "12345678-1111-4222-8333-444455556666"
    border.token_answers = [token_with(roles=ENOUGH, wids=[GLOBAL_ADMINISTRATOR, unknown], oid=OBJECT)]
    found = wrong(border.directory().report("contoso"))
    assert [level for level, _ in found] == ["warning", "warning"]
    text = " ".join(text for _, text in found)
    assert "Global Administrator, which is too much. The app may do everything: tier 0." in text
    assert unknown in text


def test_roles_are_confirmed_by_the_directory_where_it_may_be_asked(border: Border) -> None:
    allowed = ENOUGH
    border.token_answers = [token_with(roles=allowed, wids=[], oid=OBJECT.upper())]
    assignment = {"roleDefinitionId": GLOBAL_ADMINISTRATOR, "directoryScopeId": "/", "principalId": OBJECT}
    border.on(rf"^GET /roleManagement/directory/roleAssignments\?.*'{OBJECT}'", rows(assignment))
    app = border.directory().report("contoso").apps[0]
    assert app.roles_confirmed
    assert [(role.name, role.scope, role.confirmed) for role in app.roles] == [("Global Administrator", "/", True)]


def test_a_directory_that_does_not_answer_leaves_what_the_token_tells(border: Border) -> None:
    allowed = ENOUGH
    for answer in (refused(403, "Authorization_RequestDenied"), refused(503, "x"), Back(200, {"value": "odd"})):
        border.token_answers = [token_with(roles=allowed, wids=[USER_ADMINISTRATOR], oid=OBJECT) for _ in range(2)]
        border.on(r"^GET /roleManagement", answer)
        app = border.directory().report("contoso").apps[0]
        assert not app.roles_confirmed
        assert [role.name for role in app.roles] == ["User Administrator"]


def test_without_the_permission_or_an_object_id_the_directory_is_not_asked(border: Border) -> None:
    for claims in (
        {"roles": [name for name in ENOUGH if not name.startswith("RoleManagement")], "oid": OBJECT},
        {"roles": ENOUGH, "oid": "x'"},
    ):
        border.token_answers = [token_with(**claims)]
        border.directory().report("contoso")
    assert border.asked(r"GET /roleManagement") == []


# ---------------------------------------------------------------- the tenant


def test_federated_domains_are_named_because_their_passwords_cannot_be_reset(border: Border) -> None:
    domains = [{"name": "contoso.example", "type": "Managed"}, {"name": "Partners.example", "type": "Federated"}]
    border.on(r"^GET /organization", rows({"id": TENANT, "verifiedDomains": domains}))
    report = border.directory().report("contoso")
    assert [(domain.name, domain.federated) for domain in report.domains] == [
        ("contoso.example", False), ("partners.example", True),
    ]  # fmt: skip
    assert wrong(report) == []  # nobody can mend it
    assert any("partners.example is a federated domain" in finding.text for finding in report.findings)


def test_a_domain_of_which_nothing_tells_how_it_signs_in_is_not_called_managed(border: Border) -> None:
    domains = [{"name": "contoso.example", "type": ""}]
    border.on(r"^GET /organization", rows({"id": TENANT, "verifiedDomains": domains}))
    border.on(r"^GET /domains", refused(403, "Authorization_RequestDenied"))
    (domain,) = border.directory().report("contoso").domains
    assert domain.federated is None


def test_an_unverified_domain_is_not_listed(border: Border) -> None:
    border.on(r"^GET /domains", rows({"id": "new.example", "isVerified": False, "authenticationType": "Managed"}))
    assert "new.example" not in {domain.name for domain in border.directory().report("contoso").domains}


def test_domains_that_cannot_be_read_are_an_error(border: Border) -> None:
    border.roles = ["User-PasswordProfile.ReadWrite.All"]
    border.on(r"^GET /organization", refused(403, "Authorization_RequestDenied"))
    assert levels(border)[-1][0] == "error"


def test_what_may_not_be_read_is_said_and_is_no_fault(border: Border) -> None:
    report = border.directory().report("contoso")
    assert report.access_pass is None
    assert report.access_pass_unread == "not readable: grant Policy.Read.AuthenticationMethod"
    assert report.self_service is None
    assert report.self_service_unread.startswith("not readable: grant AuditLog.Read.All")
    assert wrong(report) == []
    assert border.asked(r"GET /(policies|reports)") == []


def test_the_policy_of_the_access_pass_is_shown(border: Border) -> None:
    border.roles = [*ENOUGH, "Policy.Read.AuthenticationMethod"]
    policy = {
        "state": "enabled", "minimumLifetimeInMinutes": 60, "maximumLifetimeInMinutes": 480, "isUsableOnce": True,
    }  # fmt: skip
    border.on(r"^GET /policies/", Back(200, policy))
    found = border.directory().report("contoso").access_pass
    assert found is not None
    assert (found.enabled, found.shortest_minutes, found.longest_minutes, found.once) == (True, 60, 480, True)


@pytest.mark.parametrize("answer", [Back(200, {"state": "odd"}), Back(200, []), refused(404, "x"), refused(503, "x")])
def test_an_odd_policy_is_not_readable(border: Border, answer: Back) -> None:
    border.roles = [*ENOUGH, "Policy.Read.AuthenticationMethod"]
    border.on(r"^GET /policies/", answer)
    report = border.directory().report("contoso")
    assert report.access_pass is None
    assert report.access_pass_unread.startswith("not readable")
    assert wrong(report) == []


@pytest.mark.parametrize(
    ("answer", "state", "unread"),
    [
        (rows({"id": "a", "isSsprEnabled": True}), True, ""),
        (rows(), False, ""),
        (rows({"id": "a", "isSsprEnabled": False}), False, ""),
        (
            refused(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "premium license"),
            None,
            "no Entra ID P1",
        ),
        (refused(403, "accessDenied"), None, "refused it (403"),
        (Back(200, {"value": 3}), None, "something else"),
        (refused(503, "x"), None, "just now"),
    ],
)
def test_self_service_is_told_where_it_can_be_read(
    border: Border, answer: Back, state: bool | None, unread: str
) -> None:
    border.roles = [*ENOUGH, "AuditLog.Read.All"]
    border.on(r"^GET /reports/authenticationMethods/userRegistrationDetails", answer)
    report = border.directory().report("contoso")
    assert report.self_service is state
    assert unread in report.self_service_unread
    assert bool(unread) == bool(report.self_service_unread)
    assert wrong(report) == []


def test_nothing_is_ever_written(border: Border) -> None:
    border.roles = [*ENOUGH, "AuditLog.Read.All", "Policy.Read.AuthenticationMethod", "RoleManagement.Read.Directory"]
    border.directory().report("contoso")
    assert {call.method for call in border.calls} == {"GET"}


# ---------------------------------------------------------------- credentials


def about_credentials(border: Border, **graph: object) -> list[tuple[Level, str, str]]:
    findings = border.directory(**graph).check("contoso")
    return [(f.level, f.about, f.text) for f in findings if f.about.startswith("graph")]


@pytest.mark.parametrize(
    ("ends", "level"), [(-1, Level.ERROR), (1, Level.WARNING), (20, Level.WARNING), (90, Level.OK)]
)
def test_a_certificate_that_ends_is_announced(border: Border, ends: int, level: Level) -> None:
    pem, _ = make_certificate(ends=timedelta(days=ends))
    (found,) = about_credentials(border, certificate=Secret(pem))
    assert found[:2] == (level, "graph.certificate")


@pytest.mark.parametrize(("ends", "level"), [(-1, Level.ERROR), (20, Level.WARNING), (90, Level.OK)])
def test_a_secret_with_a_written_end_is_announced_too(border: Border, ends: int, level: Level) -> None:
    day = (border.time.clock() + timedelta(days=ends)).date()
    (found,) = about_credentials(border, client_secret_expires=day)
    assert found[:2] == (level, "graph.client_secret")


def test_a_secret_whose_end_nobody_knows_is_told_without_alarm(border: Border) -> None:
    (found,) = about_credentials(border)
    assert found[0] is Level.OK
    assert "cannot be read" in found[2]


def test_both_apps_credentials_are_watched(border: Border) -> None:
    ends = (border.time.clock() + timedelta(days=3)).date()
    second = RegistrationSection(client_id="second", client_secret=border.secret, client_secret_expires=ends)
    found = about_credentials(border, mfa=second)
    assert [(level, about) for level, about, _ in found] == [
        (Level.OK, "graph.client_secret"), (Level.WARNING, "graph.mfa.client_secret"),
    ]  # fmt: skip


def lines(*days: int | None) -> Sequence[CredentialLine]:
    return [CredentialLine("graph.certificate", "certificate", left) for left in days]


def test_the_daily_warning_says_nothing_of_what_lasts_or_is_not_known() -> None:
    assert expiry_warnings(lines(31, 400, None)) == ()
    assert [finding.level for finding in expiry_warnings(lines(30, 0, -1))] == [
        Level.WARNING, Level.WARNING, Level.ERROR,
    ]  # fmt: skip


def test_days_are_said_as_people_say_them() -> None:
    said = [finding.text for finding in expiry_warnings(lines(2, 1, 0, -1))]
    assert said == [
        "The certificate ends in 2 days.",
        "The certificate ends in 1 day.",
        "The certificate ends today.",
        "The certificate has ended.",
    ]
