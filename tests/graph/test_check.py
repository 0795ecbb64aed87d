"""What `connector check` says about a tenant, and about the certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.ports import Level
from connector.core.secret import Secret
from connector.graph.methods import KINDS
from tests.graph.border import PERMISSIONS, Back, Border, refused
from tests.graph.test_against_sandbox import make_certificate


def levels(border: Border) -> list[tuple[str, str]]:
    return [(str(finding.level), finding.text) for finding in border.directory().check("contoso")]


def test_a_tenant_in_order_is_found_in_order(border: Border) -> None:
    assert {level for level, _ in levels(border)} == {"ok"}


@pytest.mark.parametrize("missing", [name for name in PERMISSIONS if name != "Domain.Read.All"])
def test_a_missing_permission_is_an_error_with_its_name(border: Border, missing: str) -> None:
    border.roles = [name for name in PERMISSIONS if name != missing]
    findings = [finding for finding in border.directory().check("contoso") if finding.level == "error"]
    assert any(missing in finding.text and finding.todo for finding in findings)


def test_missing_domains_are_a_warning(border: Border) -> None:
    border.roles = [name for name in PERMISSIONS if name != "Domain.Read.All"]
    assert [text for level, text in levels(border) if level != "ok"] == [
        "The permission Domain.Read.All is missing, for telling federated domains for certain."
    ]


def test_narrow_permissions_warn_of_each_kind_that_is_left_out(border: Border) -> None:
    border.roles = [
        *(name for name in PERMISSIONS if not name.startswith("UserAuthenticationMethod")),
        "UserAuthenticationMethod.Read.All",
        *(kind.permission for kind in KINDS.values() if kind.words != "phone"),
    ]
    assert [
        (level, "UserAuthMethod-Phone.ReadWrite.All" in text) for level, text in levels(border) if level != "ok"
    ] == [("warning", True)]


def test_an_opaque_token_is_a_warning(border: Border) -> None:
    border.roles = None
    assert [level for level, _ in levels(border)] == ["ok", "warning", "ok"]


def test_a_tenant_that_cannot_be_signed_in_to_is_one_error(border: Border) -> None:
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [7000215]})]
    assert [level for level, _ in levels(border)] == ["error"]


def test_domains_that_cannot_be_read_are_an_error(border: Border) -> None:
    border.roles = ["User-PasswordProfile.ReadWrite.All"]
    border.on(r"^GET /organization", refused(403, "Authorization_RequestDenied"))
    assert levels(border)[-1][0] == "error"


@pytest.mark.parametrize(("ends", "level"), [(-1, Level.ERROR), (20, Level.WARNING), (90, None)])
def test_a_certificate_that_ends_is_announced(border: Border, ends: int, level: Level | None) -> None:
    pem, _ = make_certificate(ends=timedelta(days=ends))
    findings = list(border.directory(certificate=Secret(pem)).check("contoso"))
    about = [finding.level for finding in findings if finding.about == "graph.certificate"]
    assert about == ([level] if level else [])
