"""Real MSAL with every credential in every cloud, the second app for methods, and the links for consent."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import responses
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from requests import PreparedRequest

from connector.config import CLOUDS, FederatedSection, GraphSection, PfxSection, RegistrationSection
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, PermanentError
from connector.graph.aadsts import ADVICE
from connector.graph.credential import read_credential
from connector.graph.signin import App, SignIn, consent_link
from connector.http import Http
from tests.graph.border import GRAPH, ID, LOGIN, PERMISSIONS, TENANT, Back, Border, method, refused, rows, token_of
from tests.graph.test_credential import Pair, make_pair

APP, MFA_APP = "11f0a6c2-0000-4000-8000-000000000001", "11f0a6c2-0000-4000-8000-000000000002"
KINDS = ("client_secret", "certificate", "certificate with passphrase", "certificate_pfx", "federated")
CONSENT = {700016, 7000229, 65001, 90099}


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair()


@dataclass
class Proof:
    """One way to sign in: its keys in the configuration, and all of it that must never be seen."""

    keys: dict[str, Any]
    hidden: list[str] = field(default_factory=list)


def proof_of(kind: str, folder: Path, pair: Pair) -> Proof:
    word = secrets.token_urlsafe(16)
    match kind:
        case "client_secret":
            return Proof({"client_secret": Secret(word)}, [word])
        case "certificate":
            return Proof({"certificate": Secret(pair.pem)}, pair.pem.splitlines()[1:20])
        case "certificate with passphrase":
            locked = pair.key_pem(BestAvailableEncryption(word.encode())) + pair.certificate_pem
            keys = {"certificate": Secret(locked), "certificate_passphrase": Secret(word)}
            return Proof(keys, [word, *pair.pem.splitlines()[1:20]])
        case "certificate_pfx":
            path = pair.write_pfx(folder / "graph.pfx", word)
            return Proof({"certificate_pfx": PfxSection(file=path, passphrase=Secret(word))}, [word])
        case _:
            token = ".".join(secrets.token_urlsafe(24) for _ in range(3))
            (folder / "token").write_text(token)
            return Proof({"federated": FederatedSection(file=folder / "token")}, [token])


@dataclass
class Authority:
    """A sign-in service on whatever host is asked; it keeps what was sent."""

    hosts: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    refusal: dict[str, Any] | None = None

    def describe(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        base = str(request.url).partition("/v2.0/")[0]
        self.hosts.append(str(urlsplit(str(request.url)).hostname))
        return 200, {}, json.dumps({
            "token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/authorize",
        })  # fmt: skip

    def answer(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        self.hosts.append(str(urlsplit(str(request.url)).hostname))
        self.forms.append({name: values[0] for name, values in parse_qs(str(request.body)).items()})
        if self.refusal is not None:
            return 401, {}, json.dumps(self.refusal)
        self.given.append(token_of(PERMISSIONS))
        return 200, {}, json.dumps({"access_token": self.given[-1], "expires_in": 3599, "token_type": "Bearer"})


@pytest.fixture
def authority() -> Iterator[Authority]:
    found = Authority()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback("GET", re.compile(r"https://.*openid-configuration"), found.describe)
        mock.add_callback("POST", re.compile(r"https://.*/oauth2/v2.0/token"), found.answer)
        yield found


def sign_in_to(section: GraphSection, **more: Any) -> SignIn:
    given: dict[str, Any] = {
        "tenant": "contoso", "tenant_id": TENANT, "settings": section, "credential": read_credential(section),
        "http": Http(system="Microsoft sign-in", scope="tenant.contoso", sleep=lambda _: None),
        "clock": lambda: datetime.now(UTC),
    }  # fmt: skip
    return SignIn(**(given | more))


# ---------------------------------------------------------------- every credential, every cloud


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_credential_signs_in_to_every_cloud(
    authority: Authority, tmp_path: Path, pair: Pair, kind: str, cloud: str
) -> None:
    proof = proof_of(kind, tmp_path, pair)
    section = GraphSection(client_id=APP, cloud=cloud, **proof.keys)
    sign_in = sign_in_to(section)
    assert sign_in.token().reveal() == authority.given[0]
    assert set(authority.hosts) == {urlsplit(CLOUDS[cloud].authority).hostname}, "no other cloud is asked for anything"
    (form,) = authority.forms
    assert form["grant_type"] == "client_credentials"
    assert form["client_id"] == APP
    assert form["scope"] == f"{CLOUDS[cloud].url}/.default"
    if kind == "client_secret":
        assert form["client_secret"] == proof.hidden[0]
        return
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form
    if kind == "federated":
        assert form["client_assertion"] == proof.hidden[0]
        return
    audience = f"{CLOUDS[cloud].authority}/{TENANT}/oauth2/v2.0/token"
    public = pair.certificate.public_key()
    claims = jwt.decode(form["client_assertion"], public, algorithms=["PS256"], audience=audience, issuer=APP)  # type: ignore[arg-type]
    assert claims["sub"] == APP
    assert "x5t#S256" in jwt.get_unverified_header(form["client_assertion"])


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_is_seen_when_it_is_refused(
    authority: Authority, tmp_path: Path, pair: Pair, kind: str,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    proof = proof_of(kind, tmp_path, pair)
    section = GraphSection(client_id=APP, **proof.keys)
    sign_in = sign_in_to(section)
    authority.refusal = {"error": "invalid_client", "error_codes": [7000215], "error_description": proof.hidden[0]}
    with pytest.raises(AuthenticationError) as refusal:
        sign_in.token()
    authority.refusal = None
    token = sign_in.token()
    written = capsys.readouterr()
    seen = f"{section!r} {sign_in!r} {vars(sign_in)} {refusal.value!r} {caplog.text} {written.out} {written.err}"
    assert f"graph.{kind.partition(' ')[0]}" in seen
    for hidden in (*proof.hidden, token.reveal(), *(form.get("client_assertion", "\0") for form in authority.forms)):
        assert hidden not in seen


def test_a_certificate_that_has_ended_is_named_in_the_refusal(authority: Authority, pair: Pair) -> None:
    section = GraphSection(client_id=APP, certificate=Secret(pair.pem))
    authority.refusal = {"error": "invalid_client", "error_codes": [700027]}
    late, in_time = pair.certificate.not_valid_after_utc + timedelta(days=1), pair.certificate.not_valid_after_utc
    with pytest.raises(AuthenticationError, match=r"graph\.certificate ended on 2027-05-01\. The certificate does not"):
        sign_in_to(section, clock=lambda: late).token()
    with pytest.raises(AuthenticationError) as refusal:
        sign_in_to(section, clock=lambda: in_time - timedelta(days=1)).token()
    assert "ended" not in str(refusal.value)


def test_place_and_scope_can_be_somebody_elses(authority: Authority) -> None:
    section = GraphSection(client_id=APP, client_secret=Secret(secrets.token_hex()))
    authority.refusal = {"error": "invalid_client", "error_codes": [90002]}
    sign_in = sign_in_to(section, place="mail", scope="mail")
    assert (sign_in.place, sign_in.scope) == ("mail", "mail")
    with pytest.raises(AuthenticationError, match=r"for mail \(AADSTS90002\).*correct mail\.tenant_id") as refusal:
        sign_in.token()
    assert refusal.value.scope == "mail"


# ---------------------------------------------------------------- consent


def test_a_consent_link_is_the_tenants_and_the_apps_own() -> None:
    section = GraphSection(client_id=APP, client_secret=Secret(secrets.token_hex()), cloud="usgov")
    base = f"https://login.microsoftonline.us/{TENANT}/adminconsent?client_id="
    assert consent_link(section, TENANT) == base + APP
    assert consent_link(section, TENANT, MFA_APP) == base + MFA_APP
    assert (
        consent_link(App("a&b=c", LOGIN, GRAPH), "x/../y?") == f"{LOGIN}/x%2F..%2Fy%3F/adminconsent?client_id=a%26b%3Dc"
    )


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_the_link_is_told_where_consent_is_the_answer(border: Border, code: int) -> None:
    border.token_answers = [Back(400, {"error": "unauthorized_client", "error_codes": [code]})]
    with pytest.raises(AuthenticationError) as refusal:
        border.directory().read("contoso", ID)
    link = f"{LOGIN}/{TENANT[:-2]}00/adminconsent?client_id=app"
    assert (f"open the consent link {link} and accept. Then run" in str(refusal.value)) is (code in CONSENT)
    assert str(refusal.value).endswith(". Then run: connector check")


# ---------------------------------------------------------------- a second app for methods


def two_apps(border: Border, **more: Any) -> dict[str, Any]:
    mfa = {"client_id": MFA_APP, "client_secret": Secret(secrets.token_urlsafe(16))} | more
    return {"mfa": RegistrationSection(**mfa)}


def app_of_each_token(border: Border) -> dict[str, str]:
    """Which app each token was given to."""
    sent = [call.request for call in border.mock.calls if "/oauth2/" in str(call.request.url)]
    apps = [parse_qs(str(request.body))["client_id"][0] for request in sent]
    return {f"Bearer {token}": app for token, app in zip(border.tokens, apps, strict=True)}


def test_methods_are_the_second_apps_and_everything_else_the_firsts(border: Border) -> None:
    border.on(r"^GET .*/authentication/methods$", rows(method("phone", phoneType="mobile")), rows())
    directory = border.directory(**two_apps(border))
    directory.read("contoso", ID)
    directory.set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))
    directory.revoke_sessions("contoso", ID)
    directory.remove_methods("contoso", ID)
    apps = app_of_each_token(border)
    assert sorted(apps.values()) == sorted(["app", MFA_APP])
    about_methods = [apps[call.headers["authorization"]] for call in border.asked("/authentication/")]
    about_the_rest = [apps[c.headers["authorization"]] for c in border.calls if "/authentication/" not in c.path]
    assert len(about_methods) >= 3
    assert set(about_methods) == {MFA_APP}
    assert len(about_the_rest) >= 3
    assert set(about_the_rest) == {"app"}


def test_a_second_app_that_is_not_needed_is_never_signed_in(border: Border) -> None:
    border.directory(**two_apps(border)).set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))
    assert set(app_of_each_token(border).values()) == {"app"}


def test_the_second_apps_refusal_names_it_and_pauses_the_same_tenant(border: Border) -> None:
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [7000229]})]
    with pytest.raises(AuthenticationError) as refusal:
        border.directory(**two_apps(border)).remove_methods("contoso", ID)
    assert "the sign-in of the app of graph.mfa for tenants.contoso (AADSTS7000229)" in str(refusal.value)
    assert f"adminconsent?client_id={MFA_APP} and accept" in str(refusal.value)
    assert refusal.value.scope == "tenant.contoso"


def test_a_fresh_consent_of_one_app_does_not_cost_the_other_its_token(border: Border) -> None:
    border.on(r"^GET .*/authentication/methods$", refused(403, "accessDenied"), rows())
    directory = border.directory(**two_apps(border))
    directory.read("contoso", ID)
    directory.remove_methods("contoso", ID)
    assert sorted(app_of_each_token(border).values()) == sorted(["app", MFA_APP, MFA_APP])
    directory.read("contoso", ID)
    assert len(border.tokens) == 3


def test_what_the_second_app_lacks_is_told_by_its_own_permissions(border: Border) -> None:
    border.on(r"^GET .*/authentication/methods$", refused(403, "accessDenied"))
    directory = border.directory(**two_apps(border))
    directory.read("contoso", ID)  # the first app's token has every permission
    border.roles = ["User.Read.All"]
    with pytest.raises(AuthenticationError, match=r"UserAuthenticationMethod\.ReadWrite\.All"):
        directory.remove_methods("contoso", ID)
    border.on(rf"^PATCH /users/{ID}$", refused(403, "Authorization_RequestDenied"))
    border.roles = PERMISSIONS
    with pytest.raises(PermanentError):
        directory.set_password("contoso", ID, Secret(secrets.token_urlsafe(16)))


def test_a_kind_that_the_second_app_may_not_remove_is_left_and_the_others_go(border: Border) -> None:
    passkey = method("fido2")
    border.on(r"^GET .*/authentication/methods$", rows(passkey, method("phone", phoneType="mobile")), rows(passkey))
    border.on(r"^DELETE .*/fido2Methods/", refused(403, "accessDenied"))
    directory = border.directory(**two_apps(border))
    directory.read("contoso", ID)
    border.roles = ["UserAuthenticationMethod.Read.All", "UserAuthMethod-Phone.ReadWrite.All"]
    report = directory.remove_methods("contoso", ID)
    assert len(report.removed) == 1
    assert [left.reason for left in report.left] == [
        "the app may not remove it: grant UserAuthMethod-Passkey.ReadWrite.All"
    ]


def test_the_problems_of_both_apps_are_told_at_once(border: Border, tmp_path: Path) -> None:
    wrong = {"client_secret": None, "certificate_pfx": PfxSection(file=tmp_path / "not there")}
    with pytest.raises(ConfigError) as refusal:
        border.directory(certificate=Secret("nothing"), **two_apps(border, **wrong))
    assert [problem.partition(": ")[0] for problem in refusal.value.problems] == [
        "graph.certificate", "graph.mfa.certificate_pfx.file",
    ]  # fmt: skip
    assert len(border.mock.calls) == 0
