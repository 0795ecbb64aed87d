"""What people open: the page of a link, the proceed step, the reveal.

Only the reveal uses a view, and it wants every sign of a deliberate act. Mail scanners follow links, submit forms, run
scripts and press buttons, so none of that may be enough: no GET counts; the reveal is a JSON POST with a header that no
form can send, from this very page, after a step, at the pace of a person. Whatever falls short is refused, costs no
view and is recorded. Without JavaScript a typed word stands in for the steps.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connector.core.secret import Secret
from connector.secretlink.answers import BadBody, BodyTooLarge, error_answer, read_body, read_json
from connector.secretlink.chain import EventKind, Visitor
from connector.secretlink.challenge import Challenges
from connector.secretlink.links import ACTIVE, LinkRecord, Refused, Revealed
from connector.secretlink.render import Renderer
from connector.secretlink.seal import MalformedToken, decode_token, lookup_of
from connector.secretlink.spelling import spell
from connector.secretlink.vault import Vault
from connector.secretlink.visitors import Brake, UnknownTokenBrake, Visitors

TYPED_WORD: Final = "SHOW"
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_FORM: Final = "application/x-www-form-urlencoded"
_TYPED_PROBLEMS: Final = {
    "word": f"The password was not shown, because the word in the field was not {TYPED_WORD}.",
    "too_fast": "That was too quick for a person. Wait a second and try again.",
}


class Pages:
    """The endpoints under `/s/`."""

    def __init__(
        self,
        vault: Vault,
        challenges: Challenges,
        visitors: Visitors,
        brake: UnknownTokenBrake,
        renderer: Renderer,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._vault = vault
        self._challenges = challenges
        self._visitors = visitors
        self._brake = brake
        self._renderer = renderer
        self._clock = clock

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/s/{token}", self.page, methods=["GET"]),
            Route("/s/{token}/step", self.step, methods=["POST"]),
            Route("/s/{token}/reveal", self.reveal, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """`GET /s/{token}`: the page without the password. Uses no view, whoever asks and how often."""
        visitor = self._visitors.of(request)
        token = _token_of(request)
        if _is_prefetch(request):
            return self._refuse_prefetch(token, visitor)
        link = self._vault.visit(lookup_of(token), EventKind.PAGE_OPENED, visitor=visitor) if token else None
        if link is None:
            return self._unknown(visitor)
        if link.state != ACTIVE:
            return self._gone(link)
        return HTMLResponse(self._render_link(request, link))

    async def step(self, request: Request) -> Response:
        """`POST /s/{token}/step`: the first of two deliberate acts; gives what the second one needs."""
        visitor = self._visitors.of(request)
        token = _token_of(request)
        if _is_prefetch(request):
            return self._refuse_prefetch(token, visitor)
        try:
            body = await read_json(request)
        except BadBody:
            body = {}
        except BodyTooLarge:
            return _too_large()
        link = self._vault.look(lookup_of(token)) if token else None
        if token is None or link is None:
            return self._unknown_in_json(visitor)
        challenge = body.get("challenge")
        fresh = self._challenges.for_step(link.terms.link_id, challenge) if isinstance(challenge, str) else None
        problem = _not_by_our_page(request) or (None if fresh else "challenge")
        kind = EventKind.REFUSED if problem else EventKind.STEP_OPENED
        link = self._vault.visit(lookup_of(token), kind, visitor=visitor, reason=problem)
        if link is None or link.state != ACTIVE:
            return _gone_in_json()
        if problem or fresh is None:
            return _refused_in_json(problem or "challenge")
        return JSONResponse(
            {
                "challenge": fresh,
                "views_left": link.views_left,
                "max_views": link.terms.max_views,
                "seconds_left": max(0, link.terms.expires_at - int(self._clock().timestamp())),
            }
        )

    async def reveal(self, request: Request) -> Response:
        """`POST /s/{token}/reveal`: uses a view and answers the password, as JSON or, to the typed word, as a page."""
        visitor = self._visitors.of(request)
        token = _token_of(request)
        if _is_prefetch(request):
            return self._refuse_prefetch(token, visitor)
        typed = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        try:
            fields = await (_read_form(request) if typed else read_json(request))
        except BadBody:
            fields = {}
        except BodyTooLarge:
            return _too_large()
        link = self._vault.look(lookup_of(token)) if token else None
        if token is None or link is None:
            return self._unknown(visitor) if typed else self._unknown_in_json(visitor)
        problem = self._problem_with(request, link, fields, typed=typed)
        if problem:
            return self._refuse(request, token, problem, visitor, typed=typed)
        answer = self._vault.claim(lookup_of(token), token=token, nonce=str(fields["nonce"]), visitor=visitor)
        if typed:
            return self._typed_answer(answer)
        return self._json_answer(answer)

    def _problem_with(
        self, request: Request, link: LinkRecord, fields: Mapping[str, object], *, typed: bool
    ) -> str | None:
        """What speaks against a reveal, as the reason of the event; `None` when it looks deliberate."""
        challenge, nonce, word = fields.get("challenge"), fields.get("nonce"), fields.get("word")
        if not isinstance(challenge, str) or not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            return "body"
        if typed:
            if _is_from_elsewhere(request):
                return "other_site"
            if not isinstance(word, str) or word.strip().upper() != TYPED_WORD:
                return "word"
        elif problem := _not_by_our_page(request):
            return problem
        return self._challenges.problem_with(link.terms.link_id, challenge, needs_step=not typed)

    def _refuse(self, request: Request, token: bytes, problem: str, visitor: Visitor, *, typed: bool) -> Response:
        link = self._vault.visit(lookup_of(token), EventKind.REFUSED, visitor=visitor, reason=problem)
        if link is None or link.state != ACTIVE:
            return self._gone(link) if typed else _gone_in_json()
        if not typed:
            return _refused_in_json(problem)
        words = _TYPED_PROBLEMS.get(problem, "The password was not shown. Type the word and try again.")
        return HTMLResponse(self._render_link(request, link, problem=words), 403)

    def _typed_answer(self, answer: Revealed | Refused) -> Response:
        if isinstance(answer, Refused):
            if answer.reason == "repeated" and answer.link and answer.link.state == ACTIVE:
                text = (
                    "This page has shown the password already. Open the link from the mail once more to see it again."
                )
                return HTMLResponse(self._renderer.message("Open the link again", text), 403)
            return self._gone(answer.link)
        return HTMLResponse(self._renderer.revealed(answer.link, _password_of(answer), now=self._clock()))

    def _json_answer(self, answer: Revealed | Refused) -> Response:
        if isinstance(answer, Refused):
            if answer.reason == "repeated" and answer.link and answer.link.state == ACTIVE:
                return _refused_in_json("repeated")
            return _gone_in_json()
        password = _password_of(answer).reveal()
        return JSONResponse(
            {
                "password": password,
                "spelling": [[spelled.character, spelled.words] for spelled in spell(password)],
                "views_left": answer.link.views_left,
                "last_view": answer.link.views_left == 0,
                "expires_at": answer.link.terms.expires_at,
            }
        )

    def _render_link(self, request: Request, link: LinkRecord, *, problem: str = "") -> str:
        return self._renderer.link(
            link,
            challenge=self._challenges.for_page(link.terms.link_id),
            nonce=secrets.token_urlsafe(24),
            path=f"/s/{request.path_params['token']}",
            now=self._clock(),
            problem=problem,
        )

    def _gone(self, link: LinkRecord | None) -> Response:
        """For whoever shows a true token: the truth. `None` (purged this very moment) looks like an unknown one."""
        views = self._vault.views_of(link.terms.link_id) if link else ()
        return HTMLResponse(self._renderer.gone(link, views), 410 if link else 404)

    def _unknown(self, visitor: Visitor) -> Response:
        """The same page for a token that never was, is of another service, was purged or was cut short."""
        if self._is_braked(visitor):
            text = "Too many links were tried from your network. Wait a minute, then open the link from the mail again."
            return HTMLResponse(
                self._renderer.message("Please wait a minute", text), 429, headers={"Retry-After": "60"}
            )
        return HTMLResponse(self._renderer.gone(None, ()), 404)

    def _unknown_in_json(self, visitor: Visitor) -> Response:
        if self._is_braked(visitor):
            return error_answer(429, "too_many", "too many unknown links; wait a minute", headers={"Retry-After": "60"})
        return error_answer(404, "gone", "this link cannot be opened")

    def _is_braked(self, visitor: Visitor) -> bool:
        brake = self._brake.count(visitor.ip)
        if brake is Brake.CROSSED:
            self._vault.record_burst(visitor=visitor)
        return brake is not Brake.FREE

    def _refuse_prefetch(self, token: bytes | None, visitor: Visitor) -> Response:
        """A browser that loads pages ahead of the person is sent away until the person really comes."""
        if token:
            self._vault.visit(lookup_of(token), EventKind.REFUSED, visitor=visitor, reason="prefetch")
        return HTMLResponse(self._renderer.message("Open the link", "Open this link yourself to go on."), 503)


def _token_of(request: Request) -> bytes | None:
    try:
        return decode_token(request.path_params["token"])
    except MalformedToken:
        return None


def _password_of(answer: Revealed) -> Secret:
    if answer.password is None:
        raise ValueError("this reveal is for the browser to open")
    return answer.password


def _is_prefetch(request: Request) -> bool:
    purposes = f"{request.headers.get('sec-purpose', '')} {request.headers.get('purpose', '')}".lower()
    return "prefetch" in purposes or "prerender" in purposes


def _is_from_elsewhere(request: Request) -> bool:
    # Browsers since 2023 send it; what does not send it is judged by the other signs.
    return request.headers.get("sec-fetch-site", "same-origin") != "same-origin"


def _not_by_our_page(request: Request) -> str | None:
    """Why a request cannot come from our own script; `None` when it may."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "not_json"
    # A form cannot set a header, and another site's script would have to ask first (CORS), which is never answered.
    if request.headers.get("x-reveal") != "1":
        return "no_header"
    return "other_site" if _is_from_elsewhere(request) else None


async def _read_form(request: Request) -> dict[str, object]:
    body = await read_body(request)
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=8, strict_parsing=True)
    except (UnicodeDecodeError, ValueError):
        raise BadBody("the form cannot be read") from None
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _too_large() -> Response:
    return error_answer(413, "too_large", "the body is above 4 KB", headers={"Connection": "close"})


def _gone_in_json() -> Response:
    return error_answer(410, "gone", "this link cannot be opened")


def _refused_in_json(problem: str) -> Response:
    return error_answer(403, problem, "the password was not shown and no view was used")
