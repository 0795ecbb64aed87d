"""ConnectWise's answers: what came back, and what each refusal means.

Its own sentences are never repeated: they hold parts of the request. Of an error (`{code, message, errors: [{code,
message, resource, field}]}`) only codes and names of properties are told. Sources: the developer guide; real refusals
in rapid7/insightconnect-plugins and amp-labs/connectors; read 2026-11-22.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from connector.errors import AuthenticationError, PermanentError, TemporaryError
from connector.http import Answer
from connector.psa.connectwise.values import Record, as_record, records, text

_NEXT = re.compile(r";\s*rel\s*=\s*(?:[\"'][^\"'>]*\bnext\b|next\b)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z/_, ]{0,60}", re.ASCII)


class NotThere(PermanentError):
    """404 with ConnectWise's own words for it: no such record."""


class Forbidden(AuthenticationError):
    """403: the security role of the API member is too weak for this call."""


class Refused(PermanentError):
    """400 or 409: ConnectWise does not take this."""


@dataclass(frozen=True)
class Reply:
    """A JSON answer.

    Attributes:
        sent_at: ConnectWise's clock when it answered, from the `Date` header; `None` without one.
        link: The `Link` header; `None` where there was none at all.
    """

    body: object
    sent_at: datetime | None
    link: str | None

    @property
    def says_more(self) -> bool | None:
        """Whether another page follows; `None` where the answer does not say.

        With forward-only paging the header is there and empty on the last page.
        """
        return None if self.link is None else _NEXT.search(self.link) is not None


@dataclass(frozen=True)
class CompanyInfo:
    """What a site says about a login company before anybody has signed in.

    Attributes:
        codebase: First part of every path, such as `v4_6_release`.
        cloud: Hosted by ConnectWise; comes as a truth value or as the text "True".
    """

    codebase: str
    version: str
    cloud: bool


def refuse(answer: Answer, scope: str) -> None:
    """Raise what a refusal means; nothing where the answer is none.

    Args:
        scope: What an `AuthenticationError` pauses, and how the section is called in messages: `psa.cw`.
    """
    status = answer.status
    if status == 401:
        raise AuthenticationError(
            f"ConnectWise refused the keys for {answer.where} (401). Check {scope}.company, public_key, "
            "private_key and client_id (a missing one is answered alike), then run: connector check",
            scope=scope,
        )
    if status == 403:
        raise Forbidden(
            f"ConnectWise refused {answer.where} (403): the security role of the API member is too weak. Give it "
            f"the right for this (see docs/psa/connectwise.md), then run: connector check",
            scope=scope,
        )
    if status == 404 and is_missing_record(answer):
        raise NotThere(f"ConnectWise has nothing at {answer.where} (404). It may have been deleted.")
    if status == 404:
        raise AuthenticationError(
            f"ConnectWise has no such address: {answer.where} (404). Check {scope}.url, company and the keys: "
            "the cloud answers wrong keys like this, too. Then run: connector check",
            scope=scope,
        )
    if status in (400, 409):
        codes, fields = _complaint(answer)
        about = f" about {', '.join(fields)}" if fields else ""
        raise Refused(
            f"ConnectWise refused {answer.where} ({status}): {', '.join(codes) or 'without a reason'}{about}. "
            "Try the same by hand in ConnectWise to see which rule or required field is in the way."
        )


def _body(answer: Answer) -> Record:
    try:
        return as_record(answer.json()) or {}
    except TemporaryError:
        return {}  # a gateway's page


def is_missing_record(answer: Answer) -> bool:
    """`{"code":"NotFound"}` is a missing record; a missing path is worded otherwise or comes as a page."""
    return text(_body(answer), "code") == "NotFound"


def _complaint(answer: Answer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes and properties of a refusal, and nothing else of it."""
    body = _body(answer)
    lines = [body, *records(body.get("errors"))]
    codes = [code for line in lines if _WORD.fullmatch(code := text(line, "code"))]
    fields = [field for line in lines if _WORD.fullmatch(field := text(line, "field"))]
    return tuple(dict.fromkeys(codes)), tuple(dict.fromkeys(fields))


def header(answer: Answer, name: str) -> str | None:
    return next((value for key, value in answer.headers.items() if key.lower() == name.lower()), None)


def date_of(answer: Answer) -> datetime | None:
    try:
        found = parsedate_to_datetime(header(answer, "Date") or "")
    except ValueError:
        return None
    return found if found.tzinfo else None
