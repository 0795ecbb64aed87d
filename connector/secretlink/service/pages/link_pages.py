"""What people open: the page of a link, the proceed step, the reveal.

Only the reveal uses a view, and it wants every sign of a deliberate act (`proofs`). No GET counts, nothing falls short
without being recorded, and what is recorded as an opening, a preview or a refusal never counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connector.core.secret import Secret
from connector.secretlink.seal import CHECK_BYTES, check_of
from connector.secretlink.service.answers import error_answer
from connector.secretlink.service.pages.addresses import Found, decode_bytes, encode_bytes, read_address
from connector.secretlink.service.pages.endpoints import Endpoints
from connector.secretlink.service.pages.proofs import (
    NONCE,
    is_form,
    is_prefetch,
    may_be_a_number,
    read_fields,
    same_words,
)
from connector.secretlink.service.pages.qr import draw
from connector.secretlink.service.store.chain import EventKind, Visitor
from connector.secretlink.service.store.links import ACTIVE, FRAGMENT, LinkRecord, Refused, Revealed

_TYPED_PROBLEMS = {
    "word": "typed.wrong_word",
    "answer": "check.not_a_number",
    "too_fast": "typed.too_fast",
}


class Pages(Endpoints):
    """The endpoints of a link that can still be opened, under `/s/`."""

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/s/{token}", self.page, methods=["GET"]),
            Route("/s/{token}/step", self.step, methods=["POST"]),
            Route("/s/{token}/reveal", self.reveal, methods=["POST"]),
            Route("/s/{token}/ended", self.ended, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """`GET /s/{token}`: the page without the password. Uses no view, whoever asks and how often."""
        visitor = self._visitors.of(request)
        address = read_address(request)
        found = self._finder.find(address)
        if found is None:
            return self._page_by_id(request, self._finder.find_by_id(address), visitor)
        if is_prefetch(request):
            return self._refuse_prefetch(request, found, visitor)
        reason = "token_in_path" if found.link.mode == FRAGMENT else None
        link = self._vault.visit(found.link, EventKind.PAGE_OPENED, visitor=visitor, reason=reason)
        if link.state != ACTIVE:
            return self._gone(request, found, link, visitor)
        return HTMLResponse(self._render_link(request, found, link))

    def _page_by_id(self, request: Request, link: LinkRecord | None, visitor: Visitor) -> Response:
        """The same for a visitor who shows no more than the id of a link in fragment mode."""
        ahead = is_prefetch(request)
        kind, reason = (EventKind.REFUSED, "prefetch") if ahead else (EventKind.PAGE_OPENED, None)
        if link is not None:
            link = self._vault.visit(link, kind, visitor=visitor, reason=reason)
        if ahead:
            return self._strangers.ahead(request)
        return self._shell(request, link) if link else self._unknown(request, visitor)

    async def step(self, request: Request) -> Response:
        """`POST /s/{token}/step`: the first of two deliberate acts; gives what the second one needs."""
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        found = self._finder.find(read_address(request), fields.get("lookup"))
        if is_prefetch(request):
            return self._refuse_prefetch(request, found, visitor)
        if found is None:
            return self._strangers.json(visitor)
        fresh, problem = self._proofs.for_step(request, found.link.terms.link_id, fields)
        kind = EventKind.REFUSED if problem else EventKind.STEP_OPENED
        link = self._vault.visit(found.link, kind, visitor=visitor, reason=problem)
        if link.state != ACTIVE:
            return _gone_in_json()
        if problem:
            return _refused_in_json(problem)
        now = self._clock()
        answer: dict[str, object] = {
            "challenge": fresh,
            "views_left": link.views_left,
            "max_views": link.terms.max_views,
            "seconds_left": self._renderer.seconds_left(link, now),
        }
        if found.token is None:
            answer |= self._renderer.facts(link, self._renderer.language(request, link.locale), now=now)
        return JSONResponse(answer)

    async def reveal(self, request: Request) -> Response:
        """`POST /s/{token}/reveal`: uses a view. Answers JSON, or a page to the form without JavaScript."""
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        typed = is_form(request)
        found = self._finder.find(read_address(request), fields.get("lookup"))
        if is_prefetch(request):
            return self._refuse_prefetch(request, found, visitor)
        if found is None:
            return self._unknown(request, visitor) if typed else self._strangers.json(visitor)
        problem = self._problem_with(request, found, fields, typed=typed)
        if problem:
            return self._refuse(request, found, problem, visitor, typed=typed)
        answer = self._vault.claim(
            found.lookup,
            nonce=str(fields["nonce"]),
            visitor=visitor,
            token=found.token,
            check=_check_in(found, fields),
        )
        if typed:
            return self._typed_answer(request, found, answer, visitor)
        return self._json_answer(answer)

    async def ended(self, request: Request) -> Response:
        """`POST /s/{id}/ended`: what became of a link in fragment mode, for a browser that has its token."""
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        found = self._finder.find(read_address(request), fields.get("lookup"))
        if found is None:
            return self._unknown(request, visitor)
        link = self._vault.visit(found.link, EventKind.PAGE_OPENED, visitor=visitor)
        if link.state == ACTIVE:
            return self._shell(request, link)
        return self._gone(request, found, link, visitor)

    def _problem_with(self, request: Request, found: Found, fields: Mapping[str, object], *, typed: bool) -> str | None:
        """What speaks against a reveal, as the reason of the event; `None` when it looks deliberate."""
        nonce = fields.get("nonce")
        if not isinstance(nonce, str) or not NONCE.fullmatch(nonce):
            return "body"
        if typed and found.token is None:
            return "not_json"  # the browser alone can open it, and a form's answer cannot
        problem = self._proofs.problem_with(request, found.link.terms.link_id, fields, typed=typed)
        if problem == "other_site" or (problem and not typed):
            return problem
        return self._problem_with_typing(found, fields, typed=typed) or problem

    def _problem_with_typing(self, found: Found, fields: Mapping[str, object], *, typed: bool) -> str | None:
        if found.link.checked:
            if found.token is None:
                return None if decode_bytes(fields.get("check"), CHECK_BYTES) else "answer"
            return None if may_be_a_number(fields.get("answer")) else "answer"
        words = (language.say("typed.word") for language in self._renderer.languages)
        return None if not typed or same_words(fields.get("word"), words) else "word"

    def _refuse(self, request: Request, found: Found, problem: str, visitor: Visitor, *, typed: bool) -> Response:
        link = self._vault.visit(found.link, EventKind.REFUSED, visitor=visitor, reason=problem)
        if link.state != ACTIVE:
            return self._gone(request, found, link, visitor) if typed else _gone_in_json()
        if not typed or found.token is None:
            return _refused_in_json(problem)
        language = self._renderer.language(request, link.locale)
        words = language.say(_TYPED_PROBLEMS.get(problem, "typed.refused"), word=language.say("typed.word"))
        return HTMLResponse(self._render_link(request, found, link, problem=words), 403)

    def _typed_answer(self, request: Request, found: Found, answer: Revealed | Refused, visitor: Visitor) -> Response:
        if isinstance(answer, Revealed):
            language = self._renderer.language(request, answer.link.locale)
            password = _password_of(answer)
            return HTMLResponse(self._renderer.revealed(answer.link, language, password, now=self._clock()))
        if answer.link is None or answer.link.state != ACTIVE:
            return self._gone(request, found, answer.link, visitor)
        language = self._renderer.language(request, answer.link.locale)
        if answer.reason == "check":
            words = language.say("check.wrong", n=answer.tries_left or 0)
            return HTMLResponse(self._render_link(request, found, answer.link, problem=words), 403)
        return HTMLResponse(self._renderer.message("damaged" if answer.reason == "damaged" else "again", language), 403)

    def _json_answer(self, answer: Revealed | Refused) -> Response:
        if isinstance(answer, Refused):
            if answer.link is None or answer.link.state != ACTIVE:
                return _gone_in_json()
            if answer.reason == "repeated":
                return _answered_before(answer.link)
            return _refused_in_json(answer.reason, tries_left=answer.tries_left)
        link = answer.link
        content: dict[str, object] = {
            "views_left": link.views_left,
            "last_view": link.views_left == 0,
            "expires_at": link.terms.expires_at,
        }
        if answer.sealed is not None:
            # The browser needs the terms to open it; see `seal`.
            sealed = encode_bytes(answer.sealed)
            return JSONResponse(content | {"sealed": sealed, "max_views": link.terms.max_views})
        password = _password_of(answer)
        content["password"] = password.reveal()
        if self._renderer.draws_qr:
            picture = draw(password)
            content["qr"] = {"size": picture.size, "path": picture.path}
        return JSONResponse(content)

    def _render_link(self, request: Request, found: Found, link: LinkRecord, *, problem: str = "") -> str:
        return self._renderer.link(
            link,
            self._renderer.language(request, link.locale),
            challenge=self._proofs.for_page(link.terms.link_id),
            nonce=secrets.token_urlsafe(24),
            path=found.path,
            now=self._clock(),
            views=self._vault.views_of(link.terms.link_id) if link.views else (),
            problem=problem,
        )

    def _shell(self, request: Request, link: LinkRecord) -> Response:
        """The page of a link in fragment mode: the same for one that lives and one that has ended."""
        page = self._renderer.fragment(
            link,
            self._renderer.language(request, link.locale),
            challenge=self._proofs.for_page(link.terms.link_id),
            path=f"/s/{link.terms.link_id}",
        )
        return HTMLResponse(page)

    def _gone(self, request: Request, found: Found, link: LinkRecord | None, visitor: Visitor) -> Response:
        """For whoever shows a true token: the truth. `None` (purged this very moment) looks like an unknown one."""
        if link is None:
            return self._unknown(request, visitor)
        page = self._renderer.gone(
            link,
            self._renderer.language(request, link.locale),
            views=self._vault.views_of(link.terms.link_id),
            report=self._vault.report_of(link.terms.link_id),
            path=found.path,
            now=self._clock(),
            lookup=found.lookup_text,
        )
        return HTMLResponse(page, 410)

    def _unknown(self, request: Request, visitor: Visitor) -> Response:
        return self._strangers.page(request, visitor, self._renderer.unknown)

    def _refuse_prefetch(self, request: Request, found: Found | None, visitor: Visitor) -> Response:
        if found is None:
            return self._strangers.ahead(request)
        self._vault.visit(found.link, EventKind.REFUSED, visitor=visitor, reason="prefetch")
        return self._strangers.ahead(request, found.link.locale)


def _check_in(found: Found, fields: Mapping[str, object]) -> bytes | None:
    if not found.link.checked:
        return None
    if found.token is None:
        return decode_bytes(fields.get("check"), CHECK_BYTES)
    return check_of(found.token, str(fields["answer"]))


def _password_of(answer: Revealed) -> Secret:
    if answer.password is None:
        raise ValueError("this reveal is for the browser to open")
    return answer.password


def _gone_in_json() -> Response:
    return error_answer(410, "gone", "this link cannot be opened")


def _answered_before(link: LinkRecord) -> Response:
    """The one refusal after which a view may be gone: the answer that it was for was lost on the way."""
    message = "the password was sent before, and a view was used for that; open the page again"
    counts = {"views_left": link.views_left, "max_views": link.terms.max_views}
    return JSONResponse({"error": "repeated", "message": message, **counts}, 403)


def _refused_in_json(problem: str, *, tries_left: int | None = None) -> Response:
    content: dict[str, object] = {"error": problem, "message": "the password was not shown and no view was used"}
    return JSONResponse(content if tries_left is None else content | {"tries_left": tries_left}, 403)
