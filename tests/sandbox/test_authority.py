"""The imitated token endpoint works with the real MSAL, and refuses as Microsoft does."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.authority import ERRORS
from tests.sandbox.conftest import DANA, Stage

NO_ROLE = "0997a1d0-0d1d-4acb-b408-d5ca73121e90"
USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"


def msal_client(
    stage: Stage, credential: Any, *, tenant: str = "contoso", client_id: str = ""
) -> msal.ConfidentialClientApplication:
    found = stage.world.directory.tenant(tenant)
    return msal.ConfidentialClientApplication(
        client_id or stage.world.credentials.graph_client_id,
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


# -- federated credentials --------------------------------------------------------------------------------------


def fresh_assertion(stage: Stage, **changes: Any) -> str:
    return str(stage.control("POST", "federated-assertion", **changes)["client_assertion"])


def test_msal_gets_a_token_with_a_federated_assertion(stage: Stage) -> None:
    result = token_of(stage, msal_client(stage, {"client_assertion": lambda: fresh_assertion(stage)}))
    assert "access_token" in result, result


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"issuer": "https://elsewhere.example"}, 700211),
        ({"audience": "https://login.microsoftonline.com"}, 700212),
        ({"subject": "System:ServiceAccount:psa:connector"}, 700213),
        ({"lifetime_seconds": -1}, 700024),
    ],
)
def test_an_assertion_that_is_not_on_record_gives_no_token(stage: Stage, changes: dict[str, Any], number: int) -> None:
    result = token_of(stage, msal_client(stage, {"client_assertion": lambda: fresh_assertion(stage, **changes)}))
    assert (result["error"], result["error_codes"]) == ("invalid_client", [number])


def test_an_assertion_that_somebody_else_signed_gives_no_token(stage: Stage) -> None:
    claims = jwt.decode(fresh_assertion(stage), options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = jwt.encode(claims, key, algorithm="RS256")
    result = token_of(stage, msal_client(stage, {"client_assertion": lambda: forged}))
    assert result["error_codes"] == [700027]


# -- what a token says ------------------------------------------------------------------------------------------


def claims_of(answer: requests.Response) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return claims


def test_a_token_names_application_tenant_service_principal_roles_and_expiry(stage: Stage) -> None:
    tenant = stage.control("GET", "tenants")[0]
    claims = claims_of(stage.graph_token())
    assert (claims["tid"], claims["oid"]) == (tenant["id"], tenant["object_id"])
    assert claims["appid"] == stage.world.credentials.graph_client_id
    assert claims["roles"] == tenant["permissions"]
    assert claims["wids"] == [USER_ADMINISTRATOR, NO_ROLE]
    assert claims["exp"] - claims["iat"] == 3599
    assert claims_of(stage.graph_token("fabrikam"))["oid"] != claims["oid"]


def test_without_permissions_there_is_a_token_without_a_roles_claim(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", permissions=[], application_roles=[])
    claims = claims_of(stage.graph_token())
    assert "roles" not in claims
    assert claims["wids"] == [NO_ROLE]
    assert stage.graph("GET", f"users/{DANA}").status_code == 403


def test_one_permission_can_be_withdrawn_and_one_too_many_granted(stage: Stage) -> None:
    before = set(claims_of(stage.graph_token())["roles"])
    stage.control("PATCH", "tenants/contoso", grant=["Directory.ReadWrite.All"], withdraw=["Domain.Read.All"])
    after = set(claims_of(stage.graph_token())["roles"])
    assert (before - after, after - before) == ({"Domain.Read.All"}, {"Directory.ReadWrite.All"})


def test_the_second_registration_has_its_own_secret_and_permissions(stage: Stage) -> None:
    known = stage.world.credentials
    own = {"client_id": known.graph_mfa_client_id, "client_secret": known.graph_mfa_client_secret}
    claims = claims_of(stage.graph_token(**own))
    assert "User-PasswordProfile.ReadWrite.All" not in claims["roles"]
    assert claims["oid"] != claims_of(stage.graph_token())["oid"]
    crossed = stage.graph_token(**own | {"client_secret": known.graph_client_secret})
    assert crossed.json()["error_codes"] == [7000215]
    stage.control("PATCH", "tenants/contoso", app="mfa", consented=False)
    assert stage.graph_token(**own).json()["error_codes"] == [7000229]
    assert stage.graph_token().status_code == 200


# -- what an administrator did, or failed to do -----------------------------------------------------------------


def test_a_disabled_application_and_an_expired_secret_give_no_token(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", disabled=True)
    answer = stage.graph_token()
    assert (answer.status_code, answer.json()["error"], answer.json()["error_codes"]) == (
        400, "unauthorized_client", [7000112],
    )  # fmt: skip
    stage.control("PATCH", "tenants/contoso", disabled=False)
    stage.control("PATCH", "applications/reset", secret_expires_at="2026-11-22T09:00:00Z")
    assert stage.graph_token().json()["error_codes"] == [7000222]
    assert stage.graph_token(client_secret=secrets.token_hex(8)).json()["error_codes"] == [7000215]
    stage.control("PATCH", "applications/reset", secret_expires_at="2026-11-22T09:00:01Z")
    assert stage.graph_token().status_code == 200


@pytest.mark.parametrize("number", sorted(ERRORS))
def test_any_refusal_can_be_asked_for_one_tenant_and_taken_back(stage: Stage, number: int) -> None:
    for key in ("refusal", "tenant_refusal"):
        stage.control("PATCH", "tenants/contoso", **{key: number})
        answer = stage.graph_token()
        assert (answer.status_code, answer.json()["error_codes"]) == (ERRORS[number][0], [number])
        assert "access_token" not in answer.json()
        assert stage.graph_token("fabrikam").status_code == 200
        stage.control("PATCH", "tenants/contoso", **{key: None})
        assert stage.graph_token().status_code == 200


def test_a_throttled_tenant_says_how_long(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", tenant_refusal=90055)
    answer = stage.graph_token()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")


def test_conditional_access_refuses_only_who_proved_who_it_is(stage: Stage) -> None:
    stage.control("PATCH", "tenants/contoso", refusal=53003)
    assert stage.graph_token(client_secret=secrets.token_hex(8)).json()["error_codes"] == [7000215]


@pytest.mark.parametrize(
    ("tenant", "number"),
    [("2b4ad2a1-0000-4000-8000-000000000000", 90002), ("nobody.example", 90002), ("not-a-tenant", 900023)],
)
def test_discovery_refuses_a_tenant_that_does_not_exist(stage: Stage, tenant: str, number: int) -> None:
    url = f"{stage.addresses.authority}/{tenant}/v2.0/.well-known/openid-configuration"
    answer = stage.http.get(url, timeout=10, verify=str(stage.addresses.ca_bundle))
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [number])


def test_a_certificate_that_has_expired_gives_no_token(stage: Stage, certificate: tuple[str, str]) -> None:
    private, public = certificate
    stage.control("POST", "certificates", pem=public)
    stage.clock.forward(days=3650)
    now = int(stage.clock.moment.timestamp())
    tenant, client = stage.world.directory.tenants["contoso"].id, stage.world.credentials.graph_client_id
    endpoint = f"{stage.addresses.authority}/{tenant}/oauth2/v2.0/token"
    claims = {"iss": client, "sub": client, "aud": endpoint, "exp": now + 60, "jti": secrets.token_hex(8)}
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "scope": f"{stage.addresses.graph}/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(claims, private, algorithm="RS256"),
    }
    answer = stage.http.post(endpoint, data=form, timeout=10, verify=str(stage.addresses.ca_bundle))
    assert answer.json()["error_codes"] == [700027]


@pytest.mark.parametrize("body", [{"refusal": 12345}, {"colour": "red"}, {"app": "other"}])
def test_a_mistake_in_a_tenants_change_is_answered_in_words_and_changes_nothing(
    stage: Stage, body: dict[str, Any]
) -> None:
    before = stage.control("GET", "tenants")
    answer = stage.http.patch(f"{stage.addresses.control}/control/tenants/contoso", json=body, timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
    assert stage.control("GET", "tenants") == before
