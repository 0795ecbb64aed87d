"""`connector check` as an admin runs it, in front of tenants that are not as they should be.

A run takes seconds, so the tests of one bad day share its two runs: one for people, one for scripts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage, wait_for
from tests.e2e.forking_stage import ForkingStage

pytestmark = pytest.mark.e2e

NOWHERE = "00000000-0000-4000-8000-00000000dead"
WIDTH = 100
PAPER = Path(__file__).parent.parent.parent / "docs" / "entra.md"


@dataclass(frozen=True)
class Run:
    """What one `connector check --json` said."""

    code: int
    said: dict[str, Any]

    def wrong(self, about: str) -> list[dict[str, Any]]:
        return [one for one in self.said["findings"] if one["about"] == about and one["level"] != "ok"]

    def tenant(self, name: str) -> dict[str, Any]:
        return next(one for one in self.said["tenants"] if one["tenant"] == name)


class Desk:
    """Tenants in order, and the admin's terminal."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.control("POST", "/reset")
        stage.write_mapping()
        (stage.folder / "connector.yaml").write_bytes((stage.folder / "first.yaml").read_bytes())
        for tenant in stage.facts["tenants"]:
            self.customer(
                tenant, grant=["GroupMember.Read.All", "RoleManagement.Read.Directory"], withdraw=["Mail.Send"]
            )

    def customer(self, tenant: str, **decides: Any) -> None:
        """What an administrator of the customer does."""
        self.stage.control("PATCH", f"/tenants/{tenant}", decides)

    def configure(self, **sections: Any) -> None:
        path = self.stage.folder / "connector.yaml"
        settings = json.loads(path.read_text())
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        path.write_text(json.dumps(settings))

    def check(self) -> tuple[int, str]:
        done = self.stage.connector("check")
        assert done.stderr == ""
        return done.returncode, done.stdout

    def check_json(self) -> Run:
        done = self.stage.connector("check", "--json")
        assert done.stderr == ""
        return Run(done.returncode, json.loads(done.stdout))

    def link(self, tenant_id: str) -> str:
        client_id = self.stage.facts["graph_client_id"]
        return f"{self.stage.facts['authority']}/{tenant_id}/adminconsent?client_id={client_id}"

    def link_of(self, tenant: str) -> str:
        return self.link(self.stage.facts["tenants"][tenant]["tenant_id"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("check")
    with ForkingStage(folder, sandbox_options=("--tenants", "2"), environ={"COLUMNS": str(WIDTH)}) as stage:
        stage.start_sandbox()
        stage.write_files()
        (folder / "first.yaml").write_bytes((folder / "connector.yaml").read_bytes())
        assert stage.connector("migrate").returncode == 0
        stage.start_links()
        yield stage


@pytest.fixture
def desk(stage: Stage) -> Desk:
    return Desk(stage)


@dataclass(frozen=True)
class BadDay:
    """Contoso lacks a permission, Fabrikam granted too much, two customers did not consent, one nobody knows."""

    desk: Desk
    code: int
    text: str
    run: Run


@pytest.fixture(scope="module")
def bad_day(stage: Stage) -> BadDay:
    desk = Desk(stage)
    desk.customer("contoso", withdraw=["User-PasswordProfile.ReadWrite.All"])
    desk.customer("fabrikam", grant=["Directory.ReadWrite.All"], withdraw=["User.Read.All"],
                  application_roles=["User Administrator", "Global Administrator"])  # fmt: skip
    desk.customer("customer01", consented=False)
    desk.customer("customer02", permissions=[])
    desk.configure(tenants={"nowhere": {"tenant_id": NOWHERE, "clients": {"halo": ["30"]}}})
    code, text = desk.check()
    return BadDay(desk, code, text, desk.check_json())


def test_a_missing_permission_is_an_error_with_its_name_and_what_to_do(bad_day: BadDay) -> None:
    row = next(line for line in bad_day.text.splitlines() if line.startswith("User-PasswordProfile.ReadWrite.All"))
    assert row.split()[1] == "MISSING"
    (finding,) = bad_day.run.wrong("tenants.contoso")
    assert finding["level"] == "error"
    assert "User-PasswordProfile.ReadWrite.All" in finding["text"]
    assert "consent again" in finding["todo"]


def test_an_excess_permission_and_role_are_warnings_that_say_why_and_what_is_enough(bad_day: BadDay) -> None:
    assert "Directory.ReadWrite.All                  EXCESS" in bad_day.text
    permission, role = bad_day.run.wrong("tenants.fabrikam")
    assert (permission["level"], role["level"]) == ("warning", "warning")
    assert "tier 0" in permission["text"]
    assert "Grant User.Read.All in its place" in permission["todo"]
    assert "Global Administrator" in role["text"]


def test_a_tenant_without_consent_is_one_error_with_the_link_that_mends_it(bad_day: BadDay) -> None:
    link = bad_day.desk.link_of("customer01")
    (finding,) = bad_day.run.wrong("tenants.customer01")
    assert finding["level"] == "error"
    assert link in finding["text"]
    assert link in bad_day.text.split(), "whole, on one line, to be copied"
    assert not bad_day.run.tenant("customer01")["signed_in"]


def test_consent_to_an_app_without_permissions_is_told_apart(bad_day: BadDay) -> None:
    first, *rest = bad_day.run.wrong("tenants.customer02")
    assert "has granted it no permission" in first["text"]
    assert bad_day.desk.link_of("customer02") in first["todo"]
    assert all("is missing" not in finding["text"] for finding in rest)


def test_a_tenant_that_nobody_knows_is_one_error_that_names_its_key(bad_day: BadDay) -> None:
    (finding,) = bad_day.run.wrong("tenants.nowhere")
    assert finding["level"] == "error"
    assert NOWHERE in finding["text"]
    assert "tenants.nowhere.tenant_id" in finding["text"]


def test_errors_end_with_exit_code_1(bad_day: BadDay) -> None:
    assert (bad_day.code, bad_day.run.code) == (1, 1)
    assert bad_day.run.said["errors"] >= 4


def test_the_output_fits_its_width_and_shows_no_secret(bad_day: BadDay) -> None:
    lines = [line.rstrip() for line in bad_day.text.splitlines()]
    assert [line for line in lines if len(line) > WIDTH and "adminconsent" not in line] == []
    facts = bad_day.desk.stage.facts
    everything = bad_day.text + json.dumps(bad_day.run.said)
    assert facts["graph_client_secret"] not in everything
    assert "eyJ" not in everything, "no token"


def test_the_json_has_the_keys_that_the_paper_promises(bad_day: BadDay) -> None:
    paper = PAPER.read_text(encoding="utf-8")
    tenant = bad_day.run.tenant("fabrikam")
    (app,) = tenant["apps"]
    shown = (tenant, app, app["permissions"][0], app["credential"], app["directory_roles"][0], tenant["domains"][0])
    assert [key for thing in shown for key in thing if f"`{key}`" not in paper] == []


def test_tenants_in_order_leave_nothing_to_do(desk: Desk) -> None:
    code, text = desk.check()
    assert code == 0, text
    assert "tenants.contoso: The app has the permissions that it needs, and no more." in text
    assert "partners.contoso.com (FEDERATED" in text
    assert "MISSING" not in text
    assert "EXCESS" not in text


def test_an_expired_secret_is_one_error_for_each_tenant_and_names_the_place(desk: Desk) -> None:
    desk.stage.control("PATCH", "/applications/reset", {"secret_expires_at": "2026-01-01T00:00:00Z"})
    desk.configure(graph={"client_secret_expires": "2026-01-01"})
    run = desk.check_json()
    assert run.code == 1
    for tenant in desk.stage.facts["tenants"]:
        (finding,) = run.wrong(f"tenants.{tenant}")
        assert finding["level"] == "error"
        assert "AADSTS7000222" in finding["text"]
        assert "graph.client_secret" in finding["text"]
    (written,) = run.wrong("graph.client_secret")
    assert (written["level"], written["text"]) == ("error", "The client secret has ended.")


def test_what_the_customer_lets_us_read_is_told_and_a_missing_licence_is_no_fault(desk: Desk) -> None:
    more = ["RoleManagement.Read.Directory", "Policy.Read.AuthenticationMethod", "AuditLog.Read.All"]
    desk.customer("contoso", grant=more)
    desk.customer("fabrikam", grant=more, licences=[])
    run = desk.check_json()
    assert run.code == 0
    tenant = run.tenant("contoso")
    (app,) = tenant["apps"]
    assert app["directory_roles_confirmed"]
    assert [(role["name"], role["scope"], role["confirmed"]) for role in app["directory_roles"]] == [
        ("User Administrator", "/", True)
    ]
    assert isinstance(tenant["temporary_access_pass"]["enabled"], bool)
    assert isinstance(tenant["self_service"], bool)
    assert tenant["temporary_access_pass_unread"] == tenant["self_service_unread"] == ""
    assert run.tenant("fabrikam")["self_service"] is None
    assert "P1" in run.tenant("fabrikam")["self_service_unread"]
    assert run.wrong("tenants.contoso") == run.wrong("tenants.fabrikam") == []


def test_two_registrations_are_looked_at_one_by_one(desk: Desk) -> None:
    facts = desk.stage.facts
    (desk.stage.folder / "mfa.secret").write_text(facts["graph_mfa_client_secret"])
    second = {"client_id": facts["graph_mfa_client_id"], "client_secret": {"file": "mfa.secret"}}
    desk.configure(graph={"mfa": second})
    for tenant in ("contoso", "fabrikam"):
        desk.customer(tenant, withdraw=["UserAuthenticationMethod.ReadWrite.All"])
        desk.customer(tenant, app="mfa", permissions=["UserAuthenticationMethod.ReadWrite.All"])
    desk.customer("fabrikam", app="mfa", consented=False)
    run = desk.check_json()
    assert run.wrong("tenants.contoso") == []
    assert [app["place"] for app in run.tenant("contoso")["apps"]] == ["graph", "graph.mfa"]
    (finding,) = run.wrong("tenants.fabrikam")
    assert "AADSTS7000229" in finding["text"]
    assert facts["graph_mfa_client_id"] in finding["text"]


def test_a_permission_that_no_mapped_ticket_can_need_is_only_a_warning(desk: Desk) -> None:
    mapping = desk.stage.folder / "halopsa.yaml"
    lines = mapping.read_text(encoding="utf-8").splitlines(keepends=True)
    passwords = [line for line in lines if '"MFA Reset"' not in line and '"Account Reset"' not in line]
    assert len(lines) - len(passwords) == 2
    mapping.write_text("".join(passwords), encoding="utf-8")
    desk.customer("contoso", withdraw=["UserAuthenticationMethod.ReadWrite.All"])
    run = desk.check_json()
    assert run.code == 0
    (finding,) = run.wrong("tenants.contoso")
    assert finding["level"] == "warning"
    assert "No configured ticket asks for that yet." in finding["text"]


def test_the_running_service_warns_in_its_log_before_a_secret_ends(desk: Desk) -> None:
    soon = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    desk.configure(graph={"client_secret_expires": soon})
    desk.stage.start_connector()
    try:
        wait_for("the warning", lambda: "credential_ends" in desk.stage.log("connector"))
    finally:
        desk.stage.stop("connector")
    (line,) = [json.loads(line) for line in desk.stage.log("connector").splitlines() if "credential_ends" in line]
    assert line["level"] == "warning"
    assert line["about"] == "graph.client_secret"
    assert "ends in" in line["text"]
