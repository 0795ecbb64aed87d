"""`deploy/entra/print_manifest.py`: what an admin pastes into Entra and sends to customers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.graph.permissions import ANY_METHOD, BY_NAME, GRAPH_APP_ID
from tests import forked

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "deploy" / "entra" / "print_manifest.py"
TENANT = "8a000000-0000-0000-0000-000000000000"
CLIENT = "1b000000-0000-0000-0000-000000000000"


def script(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return forked.run(str(SCRIPT), *words, cwd=folder)


def names_in(manifest: str) -> set[str]:
    (resource,) = json.loads(manifest)["requiredResourceAccess"]
    assert resource["resourceAppId"] == GRAPH_APP_ID
    by_id = {permission.app_role_id: permission.name for permission in BY_NAME.values()}
    assert all(row["type"] == "Role" for row in resource["resourceAccess"])
    return {by_id[row["id"]] for row in resource["resourceAccess"]}


def test_without_words_it_prints_one_registration_that_does_everything_and_nothing_optional() -> None:
    done = script()
    assert done.returncode == 0, done.stderr
    assert names_in(done.stdout) == {
        "User.Read.All", "GroupMember.Read.All", "Domain.Read.All", "RoleManagement.Read.Directory",
        "User-PasswordProfile.ReadWrite.All",
        "User.RevokeSessions.All", ANY_METHOD,
    }  # fmt: skip
    for name in names_in(done.stdout):
        assert f"{name} (" in done.stderr, "said in words what it is for"


def test_two_registrations_share_no_permission() -> None:
    first, second = names_in(script("--sets", "password,optional").stdout), names_in(script("--sets", "mfa").stdout)
    assert first & second == set()
    assert second == {ANY_METHOD}
    assert "Mail.Send" not in first


def test_the_narrower_permissions_take_the_place_of_the_broad_one() -> None:
    done = script("--sets", "mfa", "--narrow-mfa")
    names = names_in(done.stdout)
    assert ANY_METHOD not in names
    assert {"UserAuthenticationMethod.Read.All", "UserAuthMethod-Phone.ReadWrite.All"} <= names
    assert "UserAuthMethod-HardwareOATH.ReadWrite.All" in done.stderr
    assert "add it by name" in done.stderr


def test_sending_mail_has_to_be_asked_for() -> None:
    assert names_in(script("--sets", "mail").stdout) == {"Mail.Send"}


@pytest.mark.parametrize("words", [("--sets", "passwords"), ("--sets", ""), ("--tenant", TENANT), ("--nonsense",)])
def test_wrong_usage_is_a_sentence_and_exit_code_2(words: tuple[str, ...]) -> None:
    done = script(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_single_link_leads_to_the_tenants_own_consent_page() -> None:
    done = script("--tenant", TENANT, "--client-id", CLIENT)
    name, place, link = done.stdout.strip().split("\t")
    assert (name, place) == (TENANT, "graph")
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.path) == (
        "https", "login.microsoftonline.com", f"/{TENANT}/adminconsent",
    )  # fmt: skip
    assert parse_qs(parts.query) == {"client_id": [CLIENT]}


def test_a_national_cloud_has_its_own_consent_page() -> None:
    done = script("--tenant", TENANT, "--client-id", CLIENT, "--cloud", "usgov")
    assert "https://login.microsoftonline.us/" in done.stdout
    assert script("--tenant", TENANT, "--client-id", CLIENT, "--cloud", "moon").returncode == 2


def test_a_configuration_gives_a_link_for_every_tenant_and_app_before_any_secret_exists(tmp_path: Path) -> None:
    settings = {
        "graph": {"client_id": CLIENT, "client_secret": {"file": "not-there-yet"}, "cloud": "china",
                  "mfa": {"client_id": "second", "client_secret": {"file": "not-there-yet"}}},
        "tenants": {"contoso": {"tenant_id": TENANT}, "fabrikam": {"tenant_id": "fabrikam.example"}},
    }  # fmt: skip
    (tmp_path / "connector.yaml").write_text(json.dumps(settings))
    before = sorted(tmp_path.iterdir())
    done = script("--config", "connector.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        ["contoso", "graph"], ["contoso", "graph.mfa"], ["fabrikam", "graph"], ["fabrikam", "graph.mfa"],
    ]  # fmt: skip
    assert all(row[2].startswith("https://login.partner.microsoftonline.cn/") for row in rows)
    assert rows[1][2].endswith("client_id=second")
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


def test_manifest_and_links_can_be_had_at_once(tmp_path: Path) -> None:
    done = script("--sets", "mfa", "--config", str(ROOT / "deploy" / "connector.yaml"))
    manifest, _, links = done.stdout.partition("\n\n")
    assert names_in(manifest) == {ANY_METHOD}
    assert links.startswith("contoso\tgraph\thttps://login.microsoftonline.com/")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("graph: {}", "graph.client_id"),
        ("graph: {client_id: a}", "names no tenants"),
        ("graph: {client_id: a}\ntenants: {contoso: {}}", "tenants.contoso.tenant_id"),
        ("graph: [", "not YAML"),
        ("graph: {client_id: a, cloud: moon}\ntenants: {contoso: {tenant_id: b}}", "moon"),
    ],
)
def test_a_configuration_that_lacks_something_is_told_without_a_trace(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "connector.yaml").write_text(text)
    done = script("--config", str(tmp_path / "connector.yaml"))
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
