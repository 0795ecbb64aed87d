"""Talking to HaloPSA: the token, the calls, and what its refusals mean.

HaloPSA, HaloITSM and HaloServiceDesk share this API. The token is one of client credentials; it carries the rights
that the API application's agent had when it was issued. Sources: homotechsual/HaloAPI, KelvinTegelaar/CIPP-API,
n8n's HaloPSA node, the public Halo swagger; read 2026-11-22.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

from connector.core.ports import Clock
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.http import Answer, Http
from connector.psa.halopsa.values import Record, as_record, number, text

HOSTED_BY_HALO = (".halopsa.com", ".haloitsm.com", ".haloservicedesk.com")
TOKEN_LIFETIME_UNKNOWN = timedelta(minutes=10)
LONGEST_ADDRESS = 200
TOKEN_MARGIN = timedelta(minutes=1)

FORBIDDEN_OUTCOME = "you do not have access to this action"
REFUSALS = {
    "an outcome must be entered": "it does not know the note's outcome. Check note_outcome in the mapping",
    FORBIDDEN_OUTCOME: "the connector's agent may not run the note's outcome on this ticket as it stands",
    "must be associated with a ticket": "it does not know the ticket",
}
"""What HaloPSA says, folded, and what that means. Its own words are not repeated: they can hold parts of the request.
Sources: CIPP-API, CyberDrain/CIPP pull request 106, tests of homotechsual/HaloAPI; read 2026-11-22."""


class NotThere(PermanentError):
    """404: no such record, or no such route."""


class OutcomeForbidden(PermanentError):
    """400: our agent may not run this outcome on this ticket, for example in its present step of the workflow."""


@dataclass(frozen=True)
class Reply:
    """A JSON answer.

    Attributes:
        sent_at: HaloPSA's clock when it answered, from the `Date` header; `None` without one.
    """

    body: object
    sent_at: datetime | None


@dataclass(frozen=True)
class Discovered:
    """What GET /api/authinfo tells: the authorisation server, and the tenant where there is one."""

    auth_url: str
    tenant: str


class HaloApi:
    """One HaloPSA. Safe to share between threads: they share one token.

    Args:
        scope: What an `AuthenticationError` pauses and how the section is called in messages: `psa.halo`.
        api_url, auth_url: Resource and authorisation server, as HaloPSA's own page on API applications names them.
        tenant: Sent as `?tenant=` with the token request where it is not empty.
    """

    def __init__(
        self,
        *,
        http: Http,
        scope: str,
        api_url: str,
        auth_url: str,
        client_id: str,
        client_secret: Secret,
        rights: str,
        tenant: str,
        clock: Clock,
    ) -> None:
        self._http = http
        self._scope = scope
        self._api_url = api_url
        self._auth_url = auth_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._rights = rights
        self._tenant = tenant
        self._clock = clock
        self._held = _HeldToken()
        self._background = False

    def in_background(self) -> Self:
        """The same HaloPSA, with the same token, for calls that nobody waits for. See `Http.call`."""
        other = copy.copy(self)
        other._background = True
        return other

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Read.

        Raises:
            NotThere: 404.
            PermanentError: 400, or an unexpected status.
            AuthenticationError: 401 or 403, with a token fetched just now, too.
            TemporaryError: No answer, 429, 5xx, or an answer that is not JSON.
        """
        answer = self._call("GET", path, params=params)
        return Reply(answer.json(), _date_of(answer))

    def post(self, path: str, record: Mapping[str, object]) -> Record:
        """Write one record. HaloPSA wants an array and answers with the one object that it stored.

        Raises:
            NotThere, PermanentError, AuthenticationError: Nothing was written.
            TemporaryError: It may or may not have been written.
        """
        answer = self._call("POST", path, json=[record])
        body = answer.json()
        # With `returnall` it is a list; we never ask for that, but an own extension of a tenant might.
        stored = as_record(body[-1] if isinstance(body, list) and body else body)
        if stored is None:
            raise TemporaryError(
                f"HaloPSA answered {answer.where} without the stored record. It is looked at again by itself."
            )
        return stored

    def fetch_token(self) -> None:
        """Try the credentials now, whatever is cached. Raises like `get`."""
        with self._held.lock:
            self._held.token = None
        self._current_token()

    def discover(self) -> Discovered | None:
        """What HaloPSA itself says about its authorisation server; `None` when it says nothing that can be read.

        No token is needed or sent. For explaining a refusal only: nothing is ever sent to what it names.
        Source: GET /api/authinfo as homotechsual/HaloAPI uses it; read 2026-11-22.
        """
        try:
            answer = self._http.call("GET", f"{self._api_url}/AuthInfo", expect=(200,))
            body = as_record(answer.json()) or {}
        except ConnectorError:
            return None
        auth_url = _plain_address(text(body, "auth_url"))
        return Discovered(auth_url, text(body, "tenant_id").strip()[:LONGEST_ADDRESS]) if auth_url else None

    @property
    def auth_url(self) -> str:
        """The authorisation server as configured."""
        return self._auth_url

    @property
    def tenant(self) -> str:
        """The tenant as configured or taken from the host; empty for none."""
        return self._tenant

    # -- inside

    def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object | None = None
    ) -> Answer:
        token = self._current_token()
        answer = self._send(method, path, token, params, json)
        if answer.status in (401, 403):
            # A token keeps the rights of the moment it was issued: after a change of rights only a new one works.
            self._drop(token)
            answer = self._send(method, path, self._current_token(), params, json)
        if answer.status in (401, 403):
            raise AuthenticationError(
                f"HaloPSA refused {answer.where} ({answer.status}), with a new token, too. Give the API application of "
                f"{self._scope} and its agent the rights for it (see docs/psa/halopsa.md), then run: connector check",
                scope=self._scope,
            )
        if answer.status == 404:
            raise NotThere(f"HaloPSA has nothing at {answer.where} (404). It may have been deleted.")
        if answer.status == 400:
            kind = OutcomeForbidden if FORBIDDEN_OUTCOME in answer.body.casefold() else PermanentError
            raise kind(f"HaloPSA refused {answer.where} (400): {_meaning(answer)}.")
        return answer

    def _send(
        self, method: str, path: str, token: Secret, params: Mapping[str, str] | None, json: object | None
    ) -> Answer:
        return self._http.call(
            method,
            f"{self._api_url}/{path}",
            expect=(200, 201, 204, 400, 401, 403, 404),
            headers={"Authorization": f"Bearer {token.reveal()}"},
            params=params,
            json=json,
            background=self._background,
        )

    def _current_token(self) -> Secret:
        held = self._held
        with held.lock:  # held while fetching: the other threads want the same token
            if held.token is None or held.until is None or self._clock() >= held.until:
                held.token, held.until = self._new_token()
            return held.token

    def _drop(self, token: Secret) -> None:
        with self._held.lock:
            if self._held.token == token:  # another thread may have replaced it already
                self._held.token = None

    def _new_token(self) -> tuple[Secret, datetime]:
        """A new token, and until when it is used.

        Never in the background, whoever asks: it is for all, and what people wait for waits at the lock meanwhile.
        Whether HaloPSA counts these calls is not documented (UNVERIFIED), so our budget does.
        """
        asked_at = self._clock()
        try:
            answer = self._http.call(
                "POST",
                f"{self._auth_url}/token",
                expect=(200, 400, 401, 403, 404),
                repeatable=True,
                params={"tenant": self._tenant} if self._tenant else None,
                form={
                    "grant_type": "client_credentials",
                    "client_id": self._client_id,
                    "client_secret": self._client_secret.reveal(),
                    "scope": self._rights,
                },
            )
        except TemporaryError as failure:
            # An unknown tenant is answered with 500. Source: PyPI HaloPSA 2.0.2, read 2026-11-22.
            hint = f" If it stays like this, check {self._scope}.tenant." if self._tenant else ""
            raise TemporaryError(f"{failure}{hint}", retry_after=failure.retry_after) from None
        except PermanentError as failure:
            raise AuthenticationError(str(failure), scope=self._scope) from None
        if answer.status == 404:
            raise AuthenticationError(
                f"HaloPSA has no token address at {answer.where} (404). Check {self._scope}.url, or set "
                f"{self._scope}.auth_url to the authorisation server that HaloPSA shows.",
                scope=self._scope,
            )
        if answer.status != 200:
            raise AuthenticationError(
                f"HaloPSA refused the client credentials ({answer.status}). Check {self._scope}.client_id, "
                f"client_secret and scope, then run: connector check",
                scope=self._scope,
            )
        body = as_record(answer.json()) or {}
        token = text(body, "access_token")
        if not token:
            raise TemporaryError(f"HaloPSA answered {answer.where} without a token. It is tried again by itself.")
        seconds = number(body.get("expires_in"))
        lifetime = timedelta(seconds=seconds) if seconds and seconds > 0 else TOKEN_LIFETIME_UNKNOWN
        return Secret(token), asked_at + max(lifetime - TOKEN_MARGIN, lifetime / 2)


@dataclass
class _HeldToken:
    """The token that all threads share; whoever holds the lock may look at it or change it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: Secret | None = None
    until: datetime | None = None


def tenant_of(url: str) -> str:
    """The tenant that an instance hosted by Halo expects with the token request: the first word of its host.

    Empty for other hosts: an instance of one's own has none.
    """
    host = urlsplit(url).hostname or ""
    return host.split(".")[0] if host.endswith(HOSTED_BY_HALO) else ""


def _plain_address(written: str) -> str:
    """An address of a server as it may be shown: without a user and a query. Empty for anything else."""
    try:
        told = urlsplit(written.strip())
        port = f":{told.port}" if told.port else ""
    except ValueError:
        return ""
    if told.scheme not in ("http", "https") or not told.hostname:
        return ""
    return f"{told.scheme}://{told.hostname}{port}{told.path}".rstrip("/")[:LONGEST_ADDRESS]


def _meaning(answer: Answer) -> str:
    said = answer.body.casefold()
    for words, meaning in REFUSALS.items():
        if words in said:
            return meaning
    return (
        "a rule of HaloPSA forbids it, for example a mandatory field or an open child ticket. "
        "Try the same by hand in HaloPSA to see which one"
    )


def _date_of(answer: Answer) -> datetime | None:
    try:
        found = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return found if found.tzinfo else None
