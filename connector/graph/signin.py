"""Signing in to one customer's tenant as our app, with MSAL, and what Microsoft's refusals mean.

One MSAL application and one cache per tenant, because MSAL can only forget the tokens of all tenants of a cache.
A fresh application object is the only way to forget a token, or a refusal that MSAL repeats from memory for a
minute. Source: MSAL Python 1.39, read and run 2026-11-22.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

import msal

from connector.core.ports import Clock
from connector.core.secret import Secret
from connector.errors import AuthenticationError, TemporaryError
from connector.graph.aadsts import ADVICE, PASSING_CODES, codes_of
from connector.graph.credential import Credential
from connector.graph.transport import MsalTransport
from connector.http import Http

RENEW_AT_MOST_EVERY = timedelta(minutes=5)
"""A refusal makes us take a new token (consent may be new) at most this often: not once per refused call."""
SPARE = timedelta(minutes=5)
"""A token that ends sooner counts as ended, as it does for MSAL."""


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


def consent_link(settings: Registration, tenant_id: str, client_id: str | None = None) -> str:
    """Where an admin of a tenant lets an app in. Opening it needs a sign-in as that admin and a click.

    Args:
        client_id: Of another app in the same cloud; default: that of `settings`.

    Source: learn.microsoft.com/entra/identity-platform/v2-admin-consent, read 2026-11-22.
    """
    app = settings.client_id if client_id is None else client_id
    return f"{settings.authority}/{quote(tenant_id, safe='')}/adminconsent?client_id={quote(app, safe='')}"


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
        self._transport = MsalTransport(http)
        self._clock = clock
        self._lock = threading.Lock()
        self._application: Any = None
        self._given: Secret | None = None
        self._good_until: datetime | None = None
        self._renewed_at: datetime | None = None
        self._failed_tries = 0

    def token(self) -> Secret:
        """An access token for Graph, from memory while it is good.

        Raises:
            AuthenticationError: Microsoft refuses the app in this tenant; the message says what to do.
            TemporaryError: The sign-in service is away or has trouble of its own.
        """
        tries = self._failed_tries
        with self._lock:
            try:
                if self._failed_tries != tries and self._given is None:  # of whoever stood before us in this line
                    raise self._passing("was away a moment ago")
                answer = self._ask()
            except (AuthenticationError, TemporaryError):
                self._failed_tries += 1
                # MSAL wants a new token long before the old one ends; that can wait until all is well again.
                if self._given is not None and self._good_until is not None and self._clock() < self._good_until:
                    return self._given
                raise
            token = answer.get("access_token")
            if isinstance(token, str) and token:
                self._given = Secret(token)
                self._good_until = self._clock() + _lifetime(answer) - SPARE
                return self._given
            self._application = None  # else MSAL repeats a 400 from memory for a minute after it was mended
            raise self._refusal(answer)

    def renew(self, refused: Secret) -> bool:
        """Forget a token that Graph refused, so that the next one carries the permissions of today.

        Returns:
            Whether a repeat is worth a try: the token was forgotten now, or another thread has done so since.
        """
        with self._lock:
            now = self._clock()
            if self._given != refused:  # renewed, or forgotten and about to be renewed, by another thread
                return True
            if self._renewed_at is not None and now - self._renewed_at < RENEW_AT_MOST_EVERY:
                return False
            self._renewed_at = now
            self._application = self._given = None
            return True

    def _ask(self) -> Mapping[str, Any]:
        self._application = self._application or self._new_application()
        try:
            answer = self._application.acquire_token_for_client([f"{self._settings.url}/.default"])
        except AuthenticationError as failure:
            # Of the platform that makes our assertion: it does not know whom it stops.
            raise AuthenticationError(str(failure), scope=self.scope) from None
        except TemporaryError:
            raise
        except Exception:
            # Whatever MSAL stumbles over in an odd answer; the texts may hold the answer's body.
            raise self._passing("sent something that is not a token") from None
        return answer if isinstance(answer, dict) else {}

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
                f"Correct {self.place}.tenant_id, or graph.cloud for a national cloud, then run: connector check",
                scope=self.scope,
            ) from None
        except (msal.exceptions.MsalError, RuntimeError, KeyError):
            raise self._passing("sent no usable description of the tenant") from None

    def _refusal(self, answer: Mapping[str, Any]) -> AuthenticationError | TemporaryError:
        codes = codes_of(answer)
        if any(code in PASSING_CODES for code in codes) or answer.get("error") == "temporarily_unavailable":
            return self._passing(f"has trouble of its own (AADSTS{codes[0]})" if codes else "has trouble of its own")
        known = next((code for code in codes if code in ADVICE), None)
        name = f"AADSTS{known or codes[0]}" if codes else "no AADSTS code"
        whose = "the app's sign-in" if self._credential.section == "graph" else f"the sign-in of {self._app}"
        return AuthenticationError(
            f"Microsoft refused {whose} for {self.place} ({name}). {self._advice(known)}. Then run: connector check",
            scope=self.scope,
        )

    @property
    def _app(self) -> str:
        return f"the app of {self._credential.section}"

    def _advice(self, code: int | None) -> str:
        if code is None:
            return "Look the code up at login.microsoftonline.com/error"
        advice = ADVICE[code].format(
            place=self.place,
            app=self._credential.section,
            credential=self._credential.place,
            link=consent_link(self._settings, self._tenant_id),
        )
        return f"{self._credential.out_of_date(self._clock())} {advice}".strip()

    def _passing(self, what: str) -> TemporaryError:
        return TemporaryError(
            f"Microsoft's sign-in service for {self.place} {what}. It is tried again by itself; check graph.authority "
            "and the network if it lasts."
        )


def _lifetime(answer: Mapping[str, Any]) -> timedelta:
    try:
        return timedelta(seconds=int(answer.get("expires_in", 0)))
    except (TypeError, ValueError, OverflowError):
        return timedelta(0)
