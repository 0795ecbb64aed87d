"""What an app proves itself with: checked at the start, in the shape that MSAL wants.

Keys travel no further than memory: a PFX becomes a PEM pair here, so that neither its path nor its passphrase reaches
a library that might log it. Source for MSAL's shapes: MSAL Python 1.39, read and run 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from connector.config import PfxSection, RegistrationSection
from connector.core.secret import Secret
from connector.errors import ConfigError
from connector.graph.assertion import read_source

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
PRIVATE_KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----", re.DOTALL)
# A sequence that begins with the version 3, however its length is written. Source: RFC 7292 §4, read 2026-11-22.
PFX = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03", re.DOTALL)


@dataclass(frozen=True)
class Credential:
    """What an app proves itself with, checked before the first call.

    Attributes:
        for_msal: Makes MSAL's `client_credential`.
        section: Where the app is configured: `graph` or `graph.mfa`.
        key: Which of its keys holds the credential: `client_secret`, `certificate`, `certificate_pfx`, `federated`.
        begins_at: Of a certificate; `None` for the others.
        expires_at: Of a certificate, or the day that the admin wrote down for a secret (its first moment in UTC: too
            early rather than too late); `None` where nothing is known, and for a federated token, which has no end
            that an admin must know.
    """

    for_msal: Callable[[], object] = field(repr=False)
    section: str = "graph"
    key: str = "client_secret"
    begins_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def place(self) -> str:
        """Where it is configured: `graph.mfa.certificate`."""
        return f"{self.section}.{self.key}"

    @property
    def words(self) -> str:
        """What it is, for people."""
        return {"client_secret": "client secret", "federated": "federated token"}.get(self.key, "certificate")

    def out_of_date(self, now: datetime) -> str:
        """A sentence when it has ended or has not begun by our clock; empty otherwise."""
        if self.expires_at is not None and now >= self.expires_at:
            return f"{self.place} ended on {self.expires_at:%Y-%m-%d}."
        if self.begins_at is not None and now < self.begins_at:
            return f"{self.place} begins on {self.begins_at:%Y-%m-%d} only."
        return ""


def read_credential(settings: RegistrationSection, *, section: str = "graph") -> Credential:
    """The one credential of an app registration.

    Args:
        section: Where the registration is configured, for messages.

    Raises:
        ConfigError: It is not what it should be: a damaged or encrypted key, a wrong passphrase, a pair that is none,
            a kind of key that Entra does not take, a function that is not there. The text holds nothing of it.

    A certificate that has ended is taken: `days_left` tells of it, and it must not keep the connector from starting.
    """
    if settings.certificate is not None:
        return _from_pem(settings.certificate, settings.certificate_passphrase, section)
    if settings.certificate_pfx is not None:
        return _from_pfx(settings.certificate_pfx, section)
    if settings.federated is not None:
        source = read_source(settings.federated, place=f"{section}.federated")
        return Credential(lambda: {"client_assertion": source}, section, "federated")
    if settings.client_secret is not None:
        ends = settings.client_secret_expires
        expires_at = datetime.combine(ends, time.min, UTC) if ends else None
        return Credential(settings.client_secret.reveal, section, "client_secret", expires_at=expires_at)
    raise ConfigError(f"{section}: there is no credential. Give exactly one, such as client_secret or certificate.")


def days_left(credential: Credential, now: datetime) -> int | None:
    """Whole days until the credential ends; negative afterwards; `None` where its end is not known."""
    return (credential.expires_at - now.astimezone(UTC)).days if credential.expires_at else None


def _from_pem(pem: Secret, passphrase: Secret | None, section: str) -> Credential:
    where = f"{section}.certificate"
    text = pem.reveal()
    found_key, found_certificate = PRIVATE_KEY.search(text), CERTIFICATE.search(text)
    if not (found_key and found_certificate):
        lacks = "a private key" if not found_key else "a certificate"
        raise ConfigError(f"{where}: {lacks} is missing in it. Write key and certificate into one PEM file.")
    encrypted = "ENCRYPTED" in found_key[1] or "Proc-Type: 4,ENCRYPTED" in found_key[0]
    if encrypted and passphrase is None:
        raise ConfigError(
            f"{where}: the private key is encrypted. Give its passphrase in {where}_passphrase, or decrypt it "
            "(openssl pkey -in key.pem -out plain.pem) and protect the file by its rights."
        )
    if passphrase is not None and not encrypted:
        raise ConfigError(f"{where}: the private key is not encrypted. Take {where}_passphrase out.")
    try:
        key = load_pem_private_key(found_key[0].encode(), passphrase.reveal().encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts may quote the key
        wrong = f"{where}_passphrase does not open the private key, or it" if encrypted else "the private key"
        raise ConfigError(f"{where}: {wrong} is damaged. Correct it, or export both again as PEM.") from None
    try:
        certificate = x509.load_pem_x509_certificate(found_certificate[0].encode())
    except ValueError:
        raise ConfigError(f"{where}: the certificate is damaged. Export it again as PEM.") from None
    return _of_pair(key, [certificate], section, "certificate")


def _from_pfx(settings: PfxSection, section: str) -> Credential:
    where = f"{section}.certificate_pfx"
    content = _read(settings.file, f"{where}.file")
    if not PFX.match(content):
        hint = "It is a PEM text: name it in certificate instead." if b"-----BEGIN " in content else "Export it again."
        raise ConfigError(f"{where}.file: {settings.file} is no PFX (PKCS#12) file. {hint}")
    passphrase = settings.passphrase.reveal().encode() if settings.passphrase else None
    try:
        key, certificate, others = load_key_and_certificates(content, passphrase)
    except UnsupportedAlgorithm:
        raise ConfigError(
            f"{where}.file: {settings.file} is encrypted in an old way. Export it again with AES-256 and SHA-256."
        ) from None
    except (ValueError, TypeError):  # their texts tell nothing that helps
        wrong = "the passphrase does not open it" if passphrase else "it has a passphrase, and none is given"
        raise ConfigError(
            f"{where}: {wrong} ({settings.file}), or the file is damaged. Correct {where}.passphrase, or export it "
            "again."
        ) from None
    if key is None:
        raise ConfigError(f"{where}: {settings.file} holds no private key. Export it again together with the key.")
    certificates = [found for found in (certificate, *others) if found is not None]
    if not certificates:
        raise ConfigError(f"{where}: {settings.file} holds no certificate. Export it again together with the key.")
    return _of_pair(key, certificates, section, "certificate_pfx")


def _of_pair(key: object, certificates: list[x509.Certificate], section: str, name: str) -> Credential:
    where = f"{section}.{name}"
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"{where}: Entra takes RSA keys only. Make a certificate with an RSA key.")
    own = _shown(key.public_key())
    certificate = next((found for found in certificates if _shown(found.public_key()) == own), None)
    if certificate is None:
        raise ConfigError(f"{where}: the certificate is not that of the private key. Put the pair into one file.")
    private = Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    public = certificate.public_bytes(Encoding.PEM).decode()
    return Credential(
        lambda: {"private_key": private.reveal(), "public_certificate": public},
        section,
        name,
        begins_at=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
    )


def _shown(key: object) -> bytes:
    """A public key in the form in which two can be compared; of kinds that cannot be, nothing."""
    try:
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, ValueError, UnsupportedAlgorithm):
        return b""


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise ConfigError(
            f"{where}: {path} cannot be read ({failure.strerror}). Create it, or correct its path and rights."
        ) from None
