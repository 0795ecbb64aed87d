"""Signs of a deliberate act, shared by the reveal and the alarm.

Mail scanners follow links, submit forms, run scripts and press buttons, so none of that may be enough. What counts is a
JSON POST with a header that no form can send, from this very page, after a step, at the pace of a person. Without
JavaScript something typed stands in for the step. Whatever falls short is refused and costs nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from connector.secretlink.service.answers import BadBody, read_body, read_json
from connector.secretlink.service.pages.challenge import Challenges

NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 8
_DIGIT: Final = re.compile(r"[0-9]")


class Proofs:
    """Judges requests by a page's challenge and by how they were sent. Problems are words for an event's reason."""

    def __init__(self, challenges: Challenges) -> None:
        self._challenges = challenges

    def for_page(self, about: str) -> str:
        """The challenge for a page that is opened now.

        Args:
            about: What can be done on it, and to what: a challenge is good for nothing else.
        """
        return self._challenges.for_page(about)

    def for_step(self, request: Request, about: str, fields: Mapping[str, object]) -> tuple[str, str | None]:
        """Trade a page's challenge for a step's. Gives the new one and the problem; without a problem it counts."""
        field = fields.get("challenge")
        shown = field if isinstance(field, str) else ""
        fresh, problem = self._challenges.for_step(about, shown), not_by_our_page(request)
        if fresh is None and problem is None:
            problem = "challenge_old" if self._challenges.is_old(about, shown) else "challenge"
        return fresh or "", problem

    def problem_with(self, request: Request, about: str, fields: Mapping[str, object], *, typed: bool) -> str | None:
        """What speaks against the second act; `None` when it looks deliberate.

        Args:
            typed: Whether it is the form without JavaScript. What was typed is for the caller to judge.
        """
        shown = fields.get("challenge")
        if not isinstance(shown, str):
            return "body"
        problem = ("other_site" if is_from_elsewhere(request) else None) if typed else not_by_our_page(request)
        return problem or self._challenges.problem_with(about, shown, needs_step=not typed)


def is_prefetch(request: Request) -> bool:
    """Whether a browser loads ahead of the person."""
    purposes = f"{request.headers.get('sec-purpose', '')} {request.headers.get('purpose', '')}".lower()
    return "prefetch" in purposes or "prerender" in purposes


def is_from_elsewhere(request: Request) -> bool:
    """Whether another site sent it. Browsers since 2023 say so; what does not say it is judged by the other signs."""
    return request.headers.get("sec-fetch-site", "same-origin") != "same-origin"


def not_by_our_page(request: Request) -> str | None:
    """Why a request cannot come from our own script; `None` when it may."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "not_json"
    # A form cannot set a header, and another site's script would have to ask first (CORS), which is never answered.
    if request.headers.get("x-reveal") != "1":
        return "no_header"
    return "other_site" if is_from_elsewhere(request) else None


def is_form(request: Request) -> bool:
    """Whether a form without JavaScript sent it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


async def read_fields(request: Request) -> Mapping[str, object]:
    """The fields of a form or of a JSON object; none where it is neither.

    Raises:
        BodyTooLarge, BodyTooSlow: See `answers.read_body`.
    """
    try:
        return await _read_form(request) if is_form(request) else await read_json(request)
    except BadBody:
        return {}


def same_words(typed: object, wanted: Iterable[str]) -> bool:
    """Whether somebody typed one of these, however many spaces and in whatever case."""
    if not isinstance(typed, str):
        return False
    return " ".join(typed.split()).casefold() in {words.casefold() for words in wanted}


def may_be_a_number(answer: object) -> bool:
    """Whether a typed answer can be a ticket's number at all: it holds a digit from 0 to 9, however wide.

    What cannot be is not taken for a try, so that a robot that fills every field with "test" locks nobody out. Nor does
    a keyboard whose digits are others, such as Arabic ones, which `seal.normalise_answer` leaves as they are.
    """
    return isinstance(answer, str) and _DIGIT.search(unicodedata.normalize("NFKC", answer)) is not None


async def _read_form(request: Request) -> dict[str, object]:
    body = await read_body(request)
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=_MOST_FIELDS, strict_parsing=True)
    except (UnicodeDecodeError, ValueError):
        raise BadBody("the form cannot be read") from None
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
