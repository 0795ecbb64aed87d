"""The imitated token endpoint works with the real MSAL, and refuses as Microsoft does."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.sandbox.conftest import DANA, Stage


def msal_client(stage: Stage, credential: Any, *, tenant: str = "contoso") -> msal.ConfidentialClientApplication:
    found = stage.world.directory.tenant(tenant)
    return msal.ConfidentialClientApplication(
        stage.world.credentials.graph_client_id,
        authority=f"{stage.addresses.authority}/{found.id if found else tenant}",
        client_credential=credential,
        instance_discovery=False,
        verify=str(stage.addresses.ca_bundle),
    )


def token_of(stage: Stage, app: msal.ConfidentialClientApplication) -> dict[str, Any]:
    result: dict[str, Any] = app.acquire_token_for_client([f"{stage.addresses.graph}/.default"])
    return result


@pytest.fixture
def certificate() -> tuple[str, str]:
    """A fresh private key and its certificate, both PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), made.public_bytes(serialization.Encoding.PEM).decode()


def test_msal_gets_a_token_with_a_secret_and_graph_takes_it(stage: Stage) -> None:
    token = token_of(stage, msal_client(stage, stage.world.credentials.graph_client_secret))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = stage.http.get(f"{stage.addresses.graph}/v1.0/users/{DANA}", headers=headers, timeout=10)
    assert answer.status_code == 200


def test_msal_hears_of_a_wrong_secret(stage: Stage) -> None:
    result = token_of(stage, msal_client(stage, "wrong"))
    assert (result["error"], result["error_codes"]) == ("invalid_client", [7000215])
    assert "AADSTS7000215" in result["error_description"]


def test_msal_cannot_be_made_for_an_unknown_tenant(stage: Stage) -> None:
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        msal_client(stage, "any", tenant="2b4ad2a1-0000-4000-8000-000000000000")


def test_a_tenant_without_consent_gives_no_token(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", consented=False)
    result = token_of(stage, msal_client(stage, stage.world.credentials.graph_client_secret))
    assert result["error_codes"] == [7000229]


def test_msal_gets_a_token_with_a_registered_certificate(
    stage: Stage, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = certificate
    stage.control("POST", "certificates", pem=public)
    from datetime import UTC, datetime

    # MSAL dates its assertion by the real clock.
    monkeypatch.setattr(stage.clock, "moment", datetime.now(UTC))
    result = token_of(stage, msal_client(stage, {"private_key": private, "public_certificate": public}))
    assert "access_token" in result, result


def test_a_certificate_that_is_not_registered_gives_no_token(stage: Stage, certificate: tuple[str, str]) -> None:
    private, public = certificate
    result = token_of(stage, msal_client(stage, {"private_key": private, "public_certificate": public}))
    assert result["error_codes"] == [700027]


def test_an_assertion_outside_its_time_gives_no_token(stage: Stage, certificate: tuple[str, str]) -> None:
    private, public = certificate
    stage.control("POST", "certificates", pem=public)
    stage.clock.forward(days=3650)
    result = token_of(stage, msal_client(stage, {"private_key": private, "public_certificate": public}))
    assert result["error_codes"] == [700024]


@pytest.mark.parametrize(
    ("changes", "status", "number"),
    [
        ({"client_id": "somebody-else"}, 400, 700016),
        ({"scope": "https://other.example/.default"}, 400, 500011),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
def test_wrong_requests_are_refused(stage: Stage, changes: dict[str, str], status: int, number: int) -> None:
    answer = stage.graph_token(**changes)
    assert (answer.status_code, answer.json()["error_codes"]) == (status, [number])
    assert "access_token" not in answer.json()


def test_a_request_without_any_credential_is_refused(stage: Stage) -> None:
    tenant = stage.world.directory.tenants["contoso"].id
    form = {
        "grant_type": "client_credentials",
        "client_id": stage.world.credentials.graph_client_id,
        "scope": f"{stage.addresses.graph}/.default",
    }
    url = f"{stage.addresses.authority}/{tenant}/oauth2/v2.0/token"
    answer = stage.http.post(url, data=form, timeout=10, verify=str(stage.addresses.ca_bundle))
    assert answer.json()["error_codes"] == [7000218]


def test_the_signing_key_is_published(stage: Stage) -> None:
    tenant = stage.world.directory.tenants["contoso"].id
    url = f"{stage.addresses.authority}/{tenant}/discovery/v2.0/keys"
    key = stage.http.get(url, timeout=10, verify=str(stage.addresses.ca_bundle)).json()["keys"][0]
    assert key["kty"] == "RSA"
    assert "d" not in key


def test_secrets_and_tokens_are_not_recorded(stage: Stage) -> None:
    token = stage.graph_token().json()["access_token"]
    wrong = secrets.token_hex(16)
    stage.graph_token(client_secret=wrong)
    halo = stage.halo_token().json()["access_token"]
    told = repr(stage.control("GET", "exchanges"))
    known = stage.world.credentials
    for secret in (token, wrong, halo, known.graph_client_secret, known.halo_client_secret):
        assert secret not in told
    assert "'client_secret': '***'" in told
    assert known.graph_client_secret not in repr(known)
