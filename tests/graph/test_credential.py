"""Secrets, PEM and PFX: what is taken, how each mistake is told, and that nothing of them is ever shown."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from connector.config import PfxSection, RegistrationSection
from connector.core.secret import Secret
from connector.errors import ConfigError
from connector.graph.credential import Credential, days_left, read_credential

ENDS = datetime(2027, 5, 1, 12, tzinfo=UTC)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Pair:
    """A key and its certificate, made at run time."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.key_pem(NoEncryption()) + self.certificate_pem

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_pem(self, lock: KeySerializationEncryption, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
        return self.key.private_bytes(Encoding.PEM, form, lock).decode()

    def write_pfx(self, path: Path, passphrase: str | None) -> Path:
        lock: KeySerializationEncryption = (
            BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        )
        path.write_bytes(serialize_key_and_certificates(b"connector", self.key, self.certificate, None, lock))
        return path


def make_pair(key: Key | None = None) -> Pair:
    own = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ENDS - timedelta(days=365))
        .not_valid_after(ENDS)
        .sign(own, hashes.SHA256())
    )
    return Pair(own, certificate)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair()


@pytest.fixture(scope="module")
def other() -> Pair:
    return make_pair()


@pytest.fixture
def passphrase() -> str:
    return secrets.token_urlsafe(16)


def of_pfx(path: Path, passphrase: str | None = None, *, section: str = "graph") -> Credential:
    pfx = PfxSection(file=path, passphrase=Secret(passphrase) if passphrase else None)
    return read_credential(RegistrationSection(client_id="app", certificate_pfx=pfx), section=section)


def of_pem(text: str, passphrase: str | None = None) -> Credential:
    lock = Secret(passphrase) if passphrase else None
    return read_credential(RegistrationSection(client_id="app", certificate=Secret(text), certificate_passphrase=lock))


def given_to_msal(credential: Credential) -> dict[str, str]:
    given = credential.for_msal()
    assert isinstance(given, dict)
    return given


def same_key(pem: str, key: Key) -> bool:
    loaded = load_pem_private_key(pem.encode(), None)
    form = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded.private_bytes(*form) == key.private_bytes(*form)


# ---------------------------------------------------------------- PFX


@pytest.mark.parametrize("locked", [True, False])
def test_a_pfx_becomes_a_pair_in_memory_without_path_and_passphrase(
    tmp_path: Path, pair: Pair, passphrase: str, locked: bool
) -> None:
    path = pair.write_pfx(tmp_path / "graph.pfx", passphrase if locked else None)
    given = given_to_msal(of_pfx(path, passphrase if locked else None))
    assert set(given) == {"private_key", "public_certificate"}
    assert same_key(given["private_key"], pair.key)
    assert given["public_certificate"] == pair.certificate_pem


def test_the_certificate_of_the_key_is_found_among_others(tmp_path: Path, pair: Pair, other: Pair) -> None:
    path = tmp_path / "graph.pfx"
    chain = [other.certificate, pair.certificate]
    path.write_bytes(serialize_key_and_certificates(None, pair.key, None, chain, NoEncryption()))
    assert given_to_msal(of_pfx(path))["public_certificate"] == pair.certificate_pem


def test_a_wrong_passphrase_is_told_and_neither_is_shown(tmp_path: Path, pair: Pair, passphrase: str) -> None:
    wrong = secrets.token_urlsafe(16)
    path = pair.write_pfx(tmp_path / "graph.pfx", passphrase)
    with pytest.raises(ConfigError) as refusal:
        of_pfx(path, wrong)
    text = str(refusal.value)
    assert text.startswith("graph.certificate_pfx: the passphrase does not open it")
    assert "Correct graph.certificate_pfx.passphrase" in text
    assert wrong not in text
    assert passphrase not in text


def test_a_missing_passphrase_is_told(tmp_path: Path, pair: Pair, passphrase: str) -> None:
    path = pair.write_pfx(tmp_path / "graph.pfx", passphrase)
    with pytest.raises(ConfigError, match="it has a passphrase, and none is given"):
        of_pfx(path)


def test_what_is_no_pfx_is_told(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "graph.pfx"
    for content in (b"", b"nothing", b"\x30\x82", secrets.token_bytes(2000), b"\x30\x03\x02\x01\x04"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"is no PFX \(PKCS#12\) file\. Export it again"):
            of_pfx(path)
    path.write_text(pair.pem)
    with pytest.raises(ConfigError, match="It is a PEM text: name it in certificate instead"):
        of_pfx(path)


def test_a_cut_pfx_is_told(tmp_path: Path, pair: Pair, passphrase: str) -> None:
    path = pair.write_pfx(tmp_path / "graph.pfx", passphrase)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ConfigError, match="or the file is damaged"):
        of_pfx(path, passphrase)


def test_a_pfx_without_a_key_is_told(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "graph.pfx"
    path.write_bytes(serialize_key_and_certificates(None, None, pair.certificate, None, NoEncryption()))
    with pytest.raises(ConfigError, match="holds no private key"):
        of_pfx(path)


def test_a_pfx_without_a_certificate_is_told(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "graph.pfx"
    path.write_bytes(serialize_key_and_certificates(None, pair.key, None, None, NoEncryption()))
    with pytest.raises(ConfigError, match="holds no certificate"):
        of_pfx(path)


def test_a_pfx_with_somebody_elses_certificate_only_is_told(tmp_path: Path, pair: Pair, other: Pair) -> None:
    path = tmp_path / "graph.pfx"
    path.write_bytes(serialize_key_and_certificates(None, pair.key, None, [other.certificate], NoEncryption()))
    with pytest.raises(ConfigError, match="the certificate is not that of the private key"):
        of_pfx(path)


def test_a_pfx_with_another_kind_of_key_is_told(tmp_path: Path, passphrase: str) -> None:
    path = make_pair(ec.generate_private_key(ec.SECP256R1())).write_pfx(tmp_path / "graph.pfx", passphrase)
    with pytest.raises(ConfigError, match="Entra takes RSA keys only"):
        of_pfx(path, passphrase)


def test_a_pfx_that_cannot_be_read_is_told_with_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "graph.pfx", tmp_path):
        with pytest.raises(ConfigError) as refusal:
            of_pfx(path)
        assert str(refusal.value).startswith(f"graph.certificate_pfx.file: {path} cannot be read (")


def test_the_second_apps_credential_is_told_at_its_own_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^graph\.mfa\.certificate_pfx\.file: "):
        of_pfx(tmp_path / "graph.pfx", section="graph.mfa")


# ---------------------------------------------------------------- PEM with a passphrase


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_pem_is_opened_by_its_passphrase(pair: Pair, passphrase: str, form: PrivateFormat) -> None:
    text = pair.key_pem(BestAvailableEncryption(passphrase.encode()), form) + pair.certificate_pem
    given = given_to_msal(of_pem(text, passphrase))
    assert set(given) == {"private_key", "public_certificate"}
    assert same_key(given["private_key"], pair.key)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_wrong_passphrase_of_a_pem_is_told_and_not_shown(pair: Pair, passphrase: str, form: PrivateFormat) -> None:
    wrong = secrets.token_urlsafe(16)
    key = pair.key_pem(BestAvailableEncryption(passphrase.encode()), form)
    with pytest.raises(ConfigError) as refusal:
        of_pem(key + pair.certificate_pem, wrong)
    text = str(refusal.value)
    assert "graph.certificate_passphrase does not open the private key" in text
    assert wrong not in text
    assert key.splitlines()[5] not in text


def test_a_passphrase_for_a_key_that_has_none_is_told(pair: Pair, passphrase: str) -> None:
    with pytest.raises(ConfigError, match=r"is not encrypted\. Take graph\.certificate_passphrase out"):
        of_pem(pair.pem, passphrase)


def test_a_damaged_certificate_is_told(pair: Pair) -> None:
    damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigError, match="the certificate is damaged"):
        of_pem(pair.key_pem(NoEncryption()) + damaged)


# ---------------------------------------------------------------- how long it lasts


def credentials(folder: Path, pair: Pair) -> dict[str, Credential]:
    secret = RegistrationSection(
        client_id="app", client_secret=Secret(secrets.token_hex()), client_secret_expires=date(2027, 5, 1)
    )
    return {
        "client_secret": read_credential(secret),
        "certificate": of_pem(pair.pem),
        "certificate_pfx": of_pfx(pair.write_pfx(folder / "graph.pfx", None)),
    }


@pytest.mark.parametrize("kind", ["client_secret", "certificate", "certificate_pfx"])
def test_the_days_of_every_kind_are_counted(tmp_path: Path, pair: Pair, kind: str) -> None:
    credential = credentials(tmp_path, pair)[kind]
    ends = credential.expires_at
    assert ends == (datetime(2027, 5, 1, tzinfo=UTC) if kind == "client_secret" else ENDS)
    assert ends is not None
    assert days_left(credential, ends - timedelta(days=30)) == 30
    assert days_left(credential, ends - timedelta(hours=23)) == 0
    assert days_left(credential, ends + timedelta(seconds=1)) == -1
    assert credential.out_of_date(ends - timedelta(seconds=1)) == ""
    assert credential.out_of_date(ends) == f"graph.{kind} ended on 2027-05-01."
    assert credential.place == f"graph.{kind}"


def test_a_certificate_that_has_not_begun_says_so(pair: Pair) -> None:
    credential = of_pem(pair.pem)
    assert credential.out_of_date(ENDS - timedelta(days=366)) == "graph.certificate begins on 2026-05-01 only."


def test_a_secret_without_a_day_ends_nobody_knows_when() -> None:
    secret = RegistrationSection(client_id="app", client_secret=Secret(secrets.token_hex()))
    credential = read_credential(secret)
    assert days_left(credential, ENDS) is None
    assert credential.out_of_date(ENDS) == ""


# ---------------------------------------------------------------- nothing is shown


def test_no_credential_shows_itself(
    tmp_path: Path, pair: Pair, passphrase: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = pair.write_pfx(tmp_path / "graph.pfx", passphrase)
    secret = secrets.token_urlsafe(16)
    locked = pair.key_pem(BestAvailableEncryption(passphrase.encode())) + pair.certificate_pem
    sections = [
        RegistrationSection(client_id="app", client_secret=Secret(secret)),
        RegistrationSection(client_id="app", certificate=Secret(locked), certificate_passphrase=Secret(passphrase)),
        RegistrationSection(client_id="app", certificate_pfx=PfxSection(file=path, passphrase=Secret(passphrase))),
    ]
    found = [read_credential(section) for section in sections]
    everything = f"{sections!r} {found!r} {found} {[str(one) for one in found]} {caplog.text}"
    assert "graph" in everything
    key_lines = given_to_msal(found[1])["private_key"].splitlines()[1:-1]
    for hidden in (secret, passphrase, *key_lines):
        assert hidden not in everything
