"""Our transport in the shape that MSAL wants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import TemporaryError
from connector.http import TEMPORARY, Answer, Http, read_retry_after


class MsalTransport:
    """What MSAL takes for `http_client`: `get`, `post`, `close`. Trouble, and what is not JSON, stops before MSAL.

    MSAL logs the whole text of an answer that it cannot read, and takes a 429 of the tenant's description for a wrong
    tenant. All other statuses are its own business. Source: MSAL Python 1.39, read 2026-11-22.

    Raises:
        TemporaryError: From `get` and `post`: no answer, one that mends itself, or one that is not JSON.
    """

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
            **_: object) -> _MsalAnswer:  # fmt: skip
        return self._call("GET", url, params=params, headers=headers)

    def post(self, url: str, params: Mapping[str, str] | None = None, data: Mapping[str, str] | None = None,
             headers: Mapping[str, str] | None = None, **_: object) -> _MsalAnswer:  # fmt: skip
        return self._call("POST", url, params=params, headers=headers, form=data)

    def close(self) -> None:
        """Nothing to close: the connections belong to `Http`."""

    def _call(self, method: str, url: str, **more: Any) -> _MsalAnswer:
        answer = self._http.call(method, url, expect=range(100, 600), **more)
        if answer.status in TEMPORARY:
            raise TemporaryError(
                f"Microsoft's sign-in service answered {answer.status}. It is tried again by itself.",
                retry_after=read_retry_after(answer.headers.get("Retry-After")),
            )
        if not _is_object(answer):
            raise TemporaryError(
                f"The sign-in address sent something that is not JSON (status {answer.status}). Something between us "
                "and Microsoft may be answering in its place: check graph.authority and http.proxy."
            )
        return _MsalAnswer(answer.status, answer.body, dict(answer.headers))


@dataclass(frozen=True)
class _MsalAnswer:
    status_code: int
    text: str = field(repr=False)
    headers: dict[str, str]

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise TemporaryError(f"Microsoft's sign-in service answered {self.status_code}. It is tried again.")


def _is_object(answer: Answer) -> bool:
    try:
        return isinstance(json.loads(answer.body), dict)
    except ValueError:
        return False
