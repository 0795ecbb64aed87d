"""Every kind of credential signs the real MSAL in at an https authority, and each cause of a refusal is named.

The authority checks signatures, issuers, audiences and times by itself; it is the sandbox's, over real sockets and TLS.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate

from connector.config import FederatedSection, PfxSection, RegistrationSection
from connector.core.secret import Secret
from connector.errors import AuthenticationError
from connector.passwords import new_password
from sandbox.server import running
from sandbox.world import World
from tests.graph.test_against_sandbox import PEOPLE, SandboxPlace, keep_to_the_contract, make_certificate
from tests.graph.ticking import Ticking


@pytest.fixture
def place() -> Iterator[SandboxPlace]:
    time = Ticking()
    world = World(seed=1, gentle=True, now=time.clock)
    with running(world) as addresses:
        place = SandboxPlace(world, addresses, time)
        yield place
        keep_to_the_contract(place)


def assertion_of(place: SandboxPlace, **wrong: Any) -> str:
    return str(place.control("POST", "federated-assertion", **wrong)["client_assertion"])


def secret(place: SandboxPlace, _folder: Path) -> dict[str, Any]:
    return {"client_secret": Secret(place.world.credentials.graph_client_secret)}


def pem(place: SandboxPlace, _folder: Path) -> dict[str, Any]:
    text, certificate = make_certificate()
    place.control("POST", "certificates", pem=certificate)
    return {"certificate": Secret(text)}


def pfx(place: SandboxPlace, folder: Path) -> dict[str, Any]:
    text, certificate = make_certificate()
    place.control("POST", "certificates", pem=certificate)
    passphrase = new_password()
    key = load_pem_private_key(text.encode(), password=None)
    path = folder / "app.pfx"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"app", key, load_pem_x509_certificate(certificate.encode()), None,  # type: ignore[arg-type]
            BestAvailableEncryption(passphrase.reveal().encode()),
        )
    )  # fmt: skip
    return {"certificate_pfx": PfxSection(file=path, passphrase=passphrase)}


def federated_file(place: SandboxPlace, folder: Path) -> dict[str, Any]:
    path = folder / "token"
    path.write_text(assertion_of(place))
    return {"federated": FederatedSection(file=path)}


def federated_function(place: SandboxPlace, _folder: Path) -> dict[str, Any]:
    module = types.ModuleType("issuer_of_a_test")
    module.token = lambda: assertion_of(place)  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return {"federated": FederatedSection(callable="issuer_of_a_test:token")}


KINDS: dict[str, Callable[[SandboxPlace, Path], dict[str, Any]]] = {
    "a secret": secret,
    "a PEM": pem,
    "a PFX": pfx,
    "a token in a file": federated_file,
    "a token of a function": federated_function,
}


@pytest.fixture(autouse=True)
def _no_module_left() -> Iterator[None]:
    yield
    sys.modules.pop("issuer_of_a_test", None)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_credential_signs_the_app_in(place: SandboxPlace, tmp_path: Path, kind: str) -> None:
    directory = place.connect(**KINDS[kind](place, tmp_path))
    account = directory.find("contoso", PEOPLE.plain)
    password = new_password()
    directory.set_password("contoso", account.id, password)
    assert place.opens(PEOPLE.plain, password)


def test_a_renewed_token_in_the_file_is_taken_without_a_restart(place: SandboxPlace, tmp_path: Path) -> None:
    directory = place.connect(**federated_file(place, tmp_path))
    directory.find("contoso", PEOPLE.plain)
    place.time.sleep(3 * 3600)  # both tokens are over, ours and that of the file
    with pytest.raises(AuthenticationError, match="AADSTS700024"):
        directory.find("contoso", PEOPLE.plain)
    (tmp_path / "token").write_text(assertion_of(place))
    assert directory.find("contoso", PEOPLE.plain).upn == PEOPLE.plain


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"issuer": "https://issuer.example.com"}, "700211"), ({"subject": "somebody"}, "700213"),
     ({"audience": "api://else"}, "700212"), ({"lifetime_seconds": -60}, "700024")],
)  # fmt: skip
def test_a_token_that_is_not_trusted_is_explained_and_not_repeated(
    place: SandboxPlace, tmp_path: Path, wrong: dict[str, Any], code: str
) -> None:
    path = tmp_path / "token"
    token = assertion_of(place, **wrong)
    path.write_text(token)
    with pytest.raises(AuthenticationError, match=f"AADSTS{code}") as refusal:
        place.connect(federated=FederatedSection(file=path)).find("contoso", PEOPLE.plain)
    assert token not in str(refusal.value)


@pytest.mark.parametrize(
    ("state", "said"),
    [({"consented": False}, "adminconsent"), ({"disabled": True}, "AADSTS7000112"),
     ({"refusal": 7000222}, "AADSTS7000222"), ({"refusal": 7000215}, "the secret's Value"),
     ({"refusal": 53003}, "Conditional Access"), ({"tenant_refusal": 90038}, "national cloud")],
)  # fmt: skip
def test_what_keeps_the_app_out_is_named_with_what_to_do(place: SandboxPlace, state: dict[str, Any], said: str) -> None:
    place.control("PATCH", "tenants/contoso", **state)
    with pytest.raises(AuthenticationError, match=said) as refusal:
        place.connect().find("contoso", PEOPLE.plain)
    assert refusal.value.scope == "tenant.contoso"


@pytest.mark.parametrize("app", ["reset", "mfa"])
def test_the_second_app_removes_methods_and_nothing_else(place: SandboxPlace, app: str) -> None:
    known = place.world.credentials
    mfa = RegistrationSection(client_id=known.graph_mfa_client_id, client_secret=Secret(known.graph_mfa_client_secret))
    only = {"reset": ["User.Read.All", "Domain.Read.All", "User-PasswordProfile.ReadWrite.All",
                      "User.RevokeSessions.All"],
            "mfa": ["UserAuthenticationMethod.ReadWrite.All"]}  # fmt: skip
    for name, permissions in only.items():
        place.control("PATCH", "tenants/contoso", app=name, permissions=permissions)
    directory = place.connect(mfa=mfa)
    account = directory.find("contoso", PEOPLE.plain)
    if app == "mfa":
        directory.remove_methods("contoso", account.id)
        assert place.method_count(PEOPLE.plain) == 0
        return
    place.control("PATCH", "tenants/contoso", app="mfa", permissions=[])
    with pytest.raises(AuthenticationError, match=r"to the app of graph\.mfa"):
        directory.remove_methods("contoso", account.id)
    password = new_password()
    directory.set_password("contoso", account.id, password)
    directory.revoke_sessions("contoso", account.id)
    assert place.opens(PEOPLE.plain, password)
    assert place.method_count(PEOPLE.plain) > 0
