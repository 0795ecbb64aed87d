"""Talking to ConnectWise PSA: where its API is, the calls, the pages, and what its refusals mean.

Every call carries Basic credentials (`company+public:private`), the `clientId` of the integration and the pinned
version of the model. The path holds a code base that changes with each cloud upgrade; it is asked for without
credentials (`/login/companyinfo/{company}`), remembered, and asked for once more when a path that must exist answers
404. Addresses inside answers name other hosts and are never followed. Sources: ConnectWise's developer guide, its
OpenAPI document 2026.4, KerkhoffTechnologies/django-connectwise, christaylorcodes/ConnectWiseManageAPI; read
2026-11-22.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator, Mapping

from connector.core.secret import Secret
from connector.errors import AuthenticationError, TemporaryError
from connector.http import Answer, Http
from connector.psa.connectwise.answers import CompanyInfo, Reply, date_of, header, is_missing_record, refuse
from connector.psa.connectwise.values import Record, as_record, flag, identifier, records, text

VERSION = "2026.4"
"""The version of the model whose description this adapter was written after. Old ones are served for a year after they
are deprecated, and new properties may appear in any."""

MOST_ROWS = 1000
"""ConnectWise's own limit for a page. Source: developer guide, read 2026-11-22."""

MOST_PAGES = 500

_CODEBASE = re.compile(r"[A-Za-z0-9_]{1,40}(\.[A-Za-z0-9_]{1,40})*/?", re.ASCII)
_LOGIN_COMPANY = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)


class ConnectWiseApi:
    """One ConnectWise PSA. Safe to share between threads.

    Args:
        scope: What an `AuthenticationError` pauses and how the section is called in messages: `psa.cw`.
        url: Of the API host, without a path.
        company: The login company.
        client_id: Of the integration, from developer.connectwise.com; sent with every call.
    """

    def __init__(
        self,
        *,
        http: Http,
        scope: str,
        url: str,
        company: str,
        public_key: str,
        private_key: Secret,
        client_id: str,
        version: str = VERSION,
    ) -> None:
        self.scope = scope
        self.url = url
        self.company = company
        self._http = http
        self._public_key = public_key
        self._private_key = private_key
        self._client_id = client_id
        self._version = version
        self._lock = threading.Lock()
        self._info: CompanyInfo | None = None

    # -- reading

    def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        forward_only: bool = False,
        background: bool = False,
    ) -> Reply:
        """Read.

        Raises:
            NotThere: No such record.
            Refused: 400; a condition names a field that this ConnectWise does not know, for example.
            PermanentError: Another unexpected status.
            AuthenticationError: The keys are wrong; `Forbidden` where only the role is too weak.
            TemporaryError: No answer, 429, 5xx, or an answer that is not JSON.
        """
        extra = {"pagination-type": "forward-only"} if forward_only else None
        answer = self._call("GET", path, params=params, extra=extra, background=background)
        return Reply(answer.json(), date_of(answer), header(answer, "Link"))

    def pages(self, path: str, params: Mapping[str, str] | None = None, *, background: bool = False) -> Iterator[Reply]:
        """Every page of a list, by forward-only paging: ordered by id, so a row that changes meanwhile skips nothing.

        The page that follows is asked for with the highest id seen so far and never with an address out of an answer.

        Raises:
            TemporaryError: The pages make no progress, so the list cannot be read whole. Else like `get`.
        """
        wanted = {**(params or {}), "pageSize": str(MOST_ROWS)}
        last = 0
        for _ in range(MOST_PAGES):
            reply = self.get(
                path, {**wanted, "pageId": str(last)} if last else wanted, forward_only=True, background=background
            )
            yield reply
            ids = [found for row in records(reply.body) if (found := identifier(row)) is not None]
            more = len(ids) >= MOST_ROWS if reply.says_more is None else reply.says_more
            if not more:
                return
            if max(ids, default=0) <= last:
                break
            last = max(ids)
        raise TemporaryError(
            f"ConnectWise sends the pages of {path} in no order that ends, so the list cannot be read whole. It is "
            "tried again by itself; if it lasts, ask ConnectWise about forward-only paging."
        )

    def everything(
        self, path: str, params: Mapping[str, str] | None = None, *, background: bool = False
    ) -> list[Record]:
        """The rows of every page, each id once, the later look winning."""
        found: dict[int, Record] = {}
        for reply in self.pages(path, params, background=background):
            found |= {key: row for row in records(reply.body) if (key := identifier(row)) is not None}
        return [found[key] for key in sorted(found)]

    # -- writing

    def post(self, path: str, record: Mapping[str, object]) -> Record:
        """Create a record; the answer is what was stored. 200 and 201 are both seen.

        Raises:
            NotThere, Refused, PermanentError, AuthenticationError: Nothing was written.
            TemporaryError: It may or may not have been written. ConnectWise knows no idempotency key.
        """
        return self._stored(self._call("POST", path, json=dict(record)))

    def patch(self, path: str, operations: list[Mapping[str, object]]) -> Record:
        """Change a record with a bare list of operations; the answer is the whole record. Raises like `post`.

        ConnectWise also answers 200 when it did nothing, so the caller has to look at what comes back.
        """
        return self._stored(self._call("PATCH", path, json=operations))

    # -- where it is

    def company_info(self) -> CompanyInfo:
        """Ask anew where the API is. Needs no credentials.

        Raises:
            AuthenticationError: The login company is unknown, or nobody answers this question at the address.
            TemporaryError.
        """
        answer = self._http.call(
            "GET", f"{self.url}/login/companyinfo/{self.company}", expect=(200, 400, 401, 403, 404), repeatable=True
        )
        if answer.status != 200:
            raise AuthenticationError(
                f"ConnectWise at {self.url} does not tell where its API is ({answer.status} to {answer.where}). Check "
                f"{self.scope}.url (the API host, for example https://api-eu.myconnectwise.net), then run: "
                "connector check",
                scope=self.scope,
            )
        body = as_record(answer.json())
        if body is None:  # an unknown company is answered with 200 and null
            raise AuthenticationError(
                f"ConnectWise at {self.url} knows no company {self.company!r}. Check {self.scope}.company: it is the "
                "one typed on the sign-in page. Then run: connector check",
                scope=self.scope,
            )
        codebase = text(body, "Codebase").strip()
        if not _CODEBASE.fullmatch(codebase):
            raise TemporaryError(
                f"ConnectWise answered {answer.where} without a code base that can be part of an address. It is tried "
                "again; if it lasts, ask ConnectWise."
            )
        info = CompanyInfo(codebase.rstrip("/"), text(body, "VersionCode"), flag(body, "IsCloud"))
        with self._lock:
            self._info = info
        return info

    def codebase(self) -> str:
        """The first part of every path; asked for at first use."""
        with self._lock:
            known = self._info
        return (known or self.company_info()).codebase

    def fetch_key(self, url: str, params: Mapping[str, str], *, signed_in: bool) -> object:
        """A callback's signing key, from an address that the caller has pinned to the configuration.

        Args:
            signed_in: Send our credentials. Whether they are needed is told in two ways (amp-labs/connectors against
                covenanttechnologysolutions/connectwise-rest, read 2026-11-22), and no other host must see them.
        """
        headers = self._headers() if signed_in else None
        answer = self._http.call("GET", url, headers=headers, params=params, expect=(200, 400, 401, 403, 404))
        return answer.json() if answer.status == 200 else None

    # -- inside

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        extra: Mapping[str, str] | None = None,
        background: bool = False,
    ) -> Answer:
        codebase = self.codebase()
        answer = self._send(codebase, method, path, params, json, extra, background)
        if answer.status == 404 and not is_missing_record(answer):
            # A cloud upgrade gives the API another path. A 404 wrote nothing, so a write may be sent again.
            moved = self.company_info().codebase
            if moved != codebase:
                answer = self._send(moved, method, path, params, json, extra, background)
        refuse(answer, self.scope)
        return answer

    def _send(
        self,
        codebase: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        json: object | None,
        extra: Mapping[str, str] | None,
        background: bool,
    ) -> Answer:
        return self._http.call(
            method,
            f"{self.url}/{codebase}/apis/3.0/{path}",
            expect=(200, 201, 204, 400, 401, 403, 404, 409),
            headers={**self._headers(), **(extra or {})},
            params=params,
            json=json,
            background=background,
        )

    def _headers(self) -> dict[str, str]:
        pair = f"{self.company}+{self._public_key}:{self._private_key.reveal()}"
        return {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}",
            "clientId": self._client_id,
            "Accept": f"application/vnd.connectwise.com+json; version={self._version}",
        }

    def _stored(self, answer: Answer) -> Record:
        stored = as_record(answer.json())
        if stored is None:
            raise TemporaryError(
                f"ConnectWise answered {answer.where} without the stored record. It is looked at again by itself."
            )
        return stored


def is_login_company(company: str) -> bool:
    """Whether it may be a login company: it becomes part of an address and of the credentials."""
    return _LOGIN_COMPANY.fullmatch(company) is not None
