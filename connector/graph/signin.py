"""Signing in to one customer's tenant as our app, with MSAL, and what Microsoft's refusals mean.

One MSAL application and one cache per tenant, because MSAL can only forget the tokens of all tenants of a cache.
A fresh application object is the only way to forget a token, or a refusal that MSAL repeats from memory for a
minute. Source: MSAL Python 1.39, read and run 2026-11-22.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msal
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from connector.config import GraphSection
from connector.core.ports import Clock
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, TemporaryError
from connector.http import TEMPORARY, Http, MsalTransport, read_retry_after

RENEW_AT_MOST_EVERY = timedelta(minutes=5)
"""A refusal makes us take a new token (consent may be new) at most this often: not once per refused call."""

CODE = re.compile(r"AADSTS(\d+)")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
PRIVATE_KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----", re.DOTALL)

# Microsoft's own trouble; nothing to mend here. Source: learn.microsoft.com reference-error-codes, read 2026-11-22.
PASSING_CODES = frozenset({90006, 90012, 90024, 90033, 90055, 90090})

# What an admin can do. Same source; 7000229 and 900023 from public reports, read 2026-11-22. {place} is the tenant
# in our configuration.
ADVICE: Mapping[int, str] = {
    7000215: "graph.client_secret is wrong: paste the secret's Value, not its ID",
    7000222: "The client secret has expired: make a new one and put it into graph.client_secret",
    700027: "The certificate does not belong to this app: upload it to the app registration, or correct "
    "graph.certificate",
    700024: "The assertion is outside its time: set this machine's clock",
    700016: "The app is not known in that tenant: correct graph.client_id, make the app multi-tenant, or have the "
    "customer's admin consent",
    7000229: "The app is not in that tenant yet: have the customer's admin open the consent link",
    65001: "Nobody has consented for that tenant: have the customer's admin open the consent link",
    7000112: "The app is disabled in that tenant: have the customer's admin enable the enterprise application",
    90002: "There is no such tenant: correct {place}.tenant_id, or graph.authority for a national cloud",
    900023: "{place}.tenant_id is malformed: write the tenant's id as Entra shows it",
    90038: "The tenant lives in another national cloud: set graph.authority and graph.url to that cloud",
    900382: "The tenant lives in another national cloud: set graph.authority and graph.url to that cloud",
    53003: "The customer's Conditional Access blocks the app: exclude its service principal or allow this address",
    530032: "A security policy of the customer blocks the app: have the customer's admin allow it",
    90099: "The app is not authorised for that customer: consent to it there",
    9001023: "{place}.tenant_id must be one tenant's id, not common or consumers",
    700229: "This kind of token cannot sign the app in: use a client secret or a certificate",
}


class Registration(Protocol):
    """An app registration, and where it signs in: what `SignIn` needs to know of the configuration."""

    @property
    def client_id(self) -> str: ...

    @property
    def authority(self) -> str: ...

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class App:
    """A `Registration` by itself: another app than the one of `graph`, in the same cloud.

    Attributes:
        authority: Of the sign-in service, without the tenant: `https://login.microsoftonline.com`.
        url: Of Graph, without version; the token is asked for `<url>/.default`.
    """

    client_id: str
    authority: str
    url: str


@dataclass(frozen=True)
class Credential:
    """What the app proves itself with, checked before the first call.

    Attributes:
        expires_at: Of the certificate; `None` for a secret, whose end only Microsoft knows.
    """

    for_msal: Callable[[], object] = field(repr=False)
    expires_at: datetime | None = None


def read_credential(settings: GraphSection) -> Credential:
    """The secret, or key and certificate out of one PEM text.

    Raises:
        ConfigError: The PEM is not what it should be.
    """
    if settings.certificate is not None:
        return _certificate(settings.certificate)
    if settings.client_secret is not None:
        return Credential(settings.client_secret.reveal)
    raise ConfigError("graph: neither client_secret nor certificate is there. Give exactly one of them.")


def _certificate(pem: Secret) -> Credential:
    where = "graph.certificate"
    text = pem.reveal()
    found_key, found_certificate = PRIVATE_KEY.search(text), CERTIFICATE.search(text)
    if not (found_key and found_certificate):
        lacks = "a private key" if not found_key else "a certificate"
        raise ConfigError(f"{where}: {lacks} is missing in it. Write key and certificate into one PEM file.")
    if "ENCRYPTED" in found_key[1] or "Proc-Type: 4,ENCRYPTED" in found_key[0]:
        raise ConfigError(
            f"{where}: the private key is encrypted. Decrypt it (openssl pkey -in key.pem -out plain.pem) and protect "
            "the file by its rights."
        )
    try:
        key = load_pem_private_key(found_key[0].encode(), password=None)
        certificate = x509.load_pem_x509_certificate(found_certificate[0].encode())
    except (ValueError, TypeError):  # their texts may quote the key
        raise ConfigError(f"{where}: key or certificate is damaged. Export both again as PEM.") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"{where}: Entra takes RSA keys only. Make a certificate with an RSA key.")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ConfigError(f"{where}: the certificate is not that of the private key. Put the pair into one file.")
    return Credential(
        lambda: {"private_key": found_key[0], "public_certificate": found_certificate[0]},
        expires_at=certificate.not_valid_after_utc,
    )


class SignIn:
    """Tokens for one tenant. Safe to share between threads.

    The lock is this tenant's own: a slow sign-in for one customer never holds another's work. Nothing is sent
    before the first token is asked for.

    Args:
        tenant: Its name in `connector.yaml`.
        settings: The app and the cloud that it signs in to: a `GraphSection`, or an `App`.
        http: For the sign-in service; no pace, own messages.
        place: What messages call the tenant; default: `tenants.<tenant>`.
        scope: What an `AuthenticationError` pauses; default: `tenant.<tenant>`.
    """

    def __init__(self, *, tenant: str, tenant_id: str, settings: Registration, credential: Credential, http: Http,
                 clock: Clock, place: str | None = None, scope: str | None = None) -> None:  # fmt: skip
        self.place = place or f"tenants.{tenant}"
        self.scope = scope or f"tenant.{tenant}"
        self._tenant_id = tenant_id
        self._settings = settings
        self._credential = credential
        self._transport = _JsonTransport(http)
        self._clock = clock
        self._lock = threading.Lock()
        self._application: Any = None
        self._given: Secret | None = None
        self._renewed_at: datetime | None = None

    def token(self) -> Secret:
        """An access token for Graph, from memory while it is good.

        Raises:
            AuthenticationError: Microsoft refuses the app in this tenant; the message says what to do.
            TemporaryError: The sign-in service is away or has trouble of its own.
        """
        with self._lock:
            application = self._application or self._new_application()
            try:
                answer = application.acquire_token_for_client([f"{self._settings.url}/.default"])
            except (msal.exceptions.MsalError, ValueError, KeyError):
                # Their texts may hold the answer's body.
                raise self._passing("sent something that is not a token") from None
            token = answer.get("access_token") if isinstance(answer, dict) else None
            if isinstance(token, str) and token:
                self._application = application
                self._given = Secret(token)
                return self._given
            self._application = None  # else MSAL repeats a 400 from memory for a minute after it was mended
            raise self._refusal(answer if isinstance(answer, dict) else {})

    def renew(self, refused: Secret) -> bool:
        """Forget a token that Graph refused, so that the next one carries the permissions of today.

        Returns:
            Whether a repeat is worth a try: the token was forgotten now, or another thread has done so since.
        """
        with self._lock:
            now = self._clock()
            if self._given is not None and self._given != refused:
                return True
            if self._renewed_at is not None and now - self._renewed_at < RENEW_AT_MOST_EVERY:
                return False
            self._renewed_at = now
            self._application = self._given = None
            return True

    def _new_application(self) -> Any:
        try:
            return msal.ConfidentialClientApplication(
                self._settings.client_id,
                authority=f"{self._settings.authority}/{self._tenant_id}",
                client_credential=self._credential.for_msal(),
                instance_discovery=False,  # else a token error makes MSAL call Microsoft's global cloud
                http_client=self._transport,
            )
        except ValueError:
            # MSAL reads the tenant's sign-in description here; its text holds the answer's body.
            raise AuthenticationError(
                f"Microsoft's sign-in service knows no tenant {self._tenant_id} ({self.place}). "
                f"Correct {self.place}.tenant_id, or graph.authority for a national cloud, then run: connector check",
                scope=self.scope,
            ) from None
        except (msal.exceptions.MsalError, RuntimeError, KeyError):
            raise self._passing("sent no usable description of the tenant") from None

    def _refusal(self, answer: Mapping[str, Any]) -> AuthenticationError | TemporaryError:
        codes = _codes(answer)
        if any(code in PASSING_CODES for code in codes) or answer.get("error") == "temporarily_unavailable":
            return self._passing(f"has trouble of its own (AADSTS{codes[0]})" if codes else "has trouble of its own")
        known = next((code for code in codes if code in ADVICE), None)
        name = f"AADSTS{known or codes[0]}" if codes else "no AADSTS code"
        advice = (
            ADVICE[known].format(place=self.place) if known else "Look the code up at login.microsoftonline.com/error"
        )
        return AuthenticationError(
            f"Microsoft refused the app's sign-in for {self.place} ({name}). {advice}. Then run: connector check",
            scope=self.scope,
        )

    def _passing(self, what: str) -> TemporaryError:
        return TemporaryError(
            f"Microsoft's sign-in service for {self.place} {what}. It is tried again by itself; check graph.authority "
            "and the network if it lasts."
        )


def permissions_of(token: Secret) -> frozenset[str] | None:
    """The application permissions in a token's `roles`; `None` when it cannot be looked into.

    For explaining only, never for allowing: Microsoft calls Graph's tokens opaque, and nothing is verified here.
    """
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    if not isinstance(claims, dict):
        return None
    roles = claims.get("roles", [])  # Entra leaves the claim out where nothing was consented to
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else None


def days_left(credential: Credential, now: datetime) -> int | None:
    """Whole days until the certificate ends; negative afterwards; `None` for a secret."""
    return (credential.expires_at - now.astimezone(UTC)).days if credential.expires_at else None


def _codes(answer: Mapping[str, Any]) -> list[int]:
    listed = answer.get("error_codes")
    codes = [code for code in listed if isinstance(code, int)] if isinstance(listed, list) else []
    return codes or [int(found) for found in CODE.findall(str(answer.get("error_description", "")))[:3]]


class _JsonTransport:
    """`MsalTransport`, but trouble and answers that are not JSON stop before MSAL sees them.

    MSAL logs the whole text of an answer that it cannot read, and takes a 429 of the tenant's description for a
    wrong tenant. Source: MSAL Python 1.39, read 2026-11-22.
    """

    def __init__(self, http: Http) -> None:
        self._inner = MsalTransport(http)

    def get(self, url: str, **more: Any) -> Any:
        return self._checked(self._inner.get(url, **more))

    def post(self, url: str, **more: Any) -> Any:
        return self._checked(self._inner.post(url, **more))

    def close(self) -> None:
        self._inner.close()

    @staticmethod
    def _checked(answer: Any) -> Any:
        if answer.status_code in TEMPORARY:
            headers = {name.casefold(): value for name, value in answer.headers.items()}
            raise TemporaryError(
                f"Microsoft's sign-in service answered {answer.status_code}. It is tried again by itself.",
                retry_after=read_retry_after(headers.get("retry-after")),
            )
        try:
            fine = isinstance(json.loads(answer.text), dict)
        except ValueError:
            fine = False
        if not fine:
            raise TemporaryError(
                f"The sign-in address sent something that is not JSON (status {answer.status_code}). Something between "
                "us and Microsoft may be answering in its place: check graph.authority and http.proxy."
            )
        return answer
