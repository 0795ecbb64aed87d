"""The pages of "that was not me": of an alarm that came by mail, and of a link that was opened.

Both want the same two deliberate steps as a reveal (`proofs`), because a robot that ends links and locks people out is
no better than one that uses up views. A GET, a preview or a scanner raises nothing. Without JavaScript the words NOT ME
stand in for the steps. Doing it again changes nothing and shows the same page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connector.secretlink.seal import lookup_of
from connector.secretlink.service.answers import error_answer
from connector.secretlink.service.pages.addresses import Found, read_address, read_token
from connector.secretlink.service.pages.endpoints import Endpoints
from connector.secretlink.service.pages.proofs import is_form, is_prefetch, read_fields, same_words
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.links import ARMED, RAISED, AlarmRecord, LinkRecord

_TYPED_PROBLEMS = {"words": "alarm.wrong_words", "too_fast": "alarm.too_fast"}


@dataclass(frozen=True)
class Raisable:
    """An alarm behind an address.

    Attributes:
        path: Where its page is, without host.
        action: Where it is raised.
        challenge_for: What its challenges are good for.
        lookup: In letters, where a page has to send it along; else empty.
        raise_it: Raises it, and gives it as it is then; `None` when it has just gone.
    """

    alarm: AlarmRecord
    path: str = field(repr=False)
    action: str = field(repr=False)
    challenge_for: str
    lookup: str = field(repr=False)
    raise_it: Callable[[Visitor], AlarmRecord | None] = field(repr=False)


class AlarmPages(Endpoints):
    """The endpoints under `/n/`, and those under `/s/` that report a link."""

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/n/{token}", self.page, methods=["GET"]),
            Route("/n/{token}/step", self.step, methods=["POST"]),
            Route("/n/{token}/raise", self.raise_alarm, methods=["POST"]),
            Route("/s/{token}/not-me", self.page, methods=["GET"]),
            Route("/s/{token}/not-me", self.raise_alarm, methods=["POST"]),
            Route("/s/{token}/not-me/page", self.page, methods=["POST"]),
            Route("/s/{token}/not-me/step", self.step, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """`GET /n/{token}`: what the alarm is about, or when it was raised. Raises nothing.

        `GET /s/{token}/not-me` is the same of a link, and `POST /s/{id}/not-me/page` of one in fragment mode.
        """
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        found = self._find(request, fields)
        if is_prefetch(request):
            return self._strangers.ahead(request, found.alarm.locale if found else "")
        if found is None:
            return self._unknown(request, visitor)
        return HTMLResponse(self._render(request, found, found.alarm))

    async def step(self, request: Request) -> Response:
        """`POST /n/{token}/step`: the first of two deliberate acts; gives what the second one needs."""
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        found = self._find(request, fields)
        if is_prefetch(request):
            return self._strangers.ahead(request, found.alarm.locale if found else "")
        if found is None:
            return self._strangers.json(visitor)
        if found.alarm.state != ARMED:
            return error_answer(410, "gone", "this alarm was raised before")
        fresh, problem = self._proofs.for_step(request, found.challenge_for, fields)
        return _refused_in_json(problem) if problem else JSONResponse({"challenge": fresh})

    async def raise_alarm(self, request: Request) -> Response:
        """`POST /n/{token}/raise`: raises it, once. Answers JSON, or a page to the form without JavaScript."""
        visitor = self._visitors.of(request)
        fields = await read_fields(request)
        typed = is_form(request)
        found = self._find(request, fields)
        if is_prefetch(request):
            return self._strangers.ahead(request, found.alarm.locale if found else "")
        if found is None:
            return self._unknown(request, visitor) if typed else self._strangers.json(visitor)
        problem = self._proofs.problem_with(request, found.challenge_for, fields, typed=typed)
        if typed and problem != "other_site" and not self._typed_right(fields):
            problem = "words"
        if problem:
            return self._refuse(request, found, problem, typed=typed)
        alarm = found.raise_it(visitor)
        if alarm is None or alarm.raised_ms is None:
            return self._unknown(request, visitor) if typed else self._strangers.json(visitor)
        if typed:
            return HTMLResponse(self._render(request, found, alarm))
        language = self._renderer.language(request, alarm.locale)
        return JSONResponse({"state": alarm.state, "when": language.moment(alarm.raised_ms // 1000, alarm.time_zone)})

    def _find(self, request: Request, fields: Mapping[str, object]) -> Raisable | None:
        if request.scope["path"].startswith("/n/"):
            return self._find_alarm(str(request.path_params["token"]))
        found = self._finder.find(read_address(request), fields.get("lookup"))
        if found is None:
            return None
        raisable = self._of_link(found)
        if raisable.alarm.state != RAISED:
            views = self._vault.views_of(found.link.terms.link_id)
            if not found.link.can_be_reported(self._clock(), views=views):
                return None
        return raisable

    def _find_alarm(self, text: str) -> Raisable | None:
        token = read_token(text)
        lookup = lookup_of(token) if token else None
        alarm = self._vault.look_alarm(lookup) if lookup else None
        if lookup is None or alarm is None or alarm.state not in (ARMED, RAISED):
            return None
        return Raisable(
            alarm,
            f"/n/{text}",
            f"/n/{text}/raise",
            f"alarm {alarm.id}",
            "",
            lambda visitor: self._vault.raise_alarm(lookup, visitor=visitor),
        )

    def _of_link(self, found: Found) -> Raisable:
        """Who has the token of a link that was opened may report it."""

        def report(visitor: Visitor) -> AlarmRecord | None:
            link = self._vault.report_link(found.lookup, visitor=visitor)
            return self._alarm_of(link) if link else None

        path = f"{found.path}/not-me"
        link_id = found.link.terms.link_id
        return Raisable(self._alarm_of(found.link), path, path, f"report {link_id}", found.lookup_text, report)

    def _alarm_of(self, link: LinkRecord) -> AlarmRecord:
        """A link as the alarm that its page is."""
        report = self._vault.report_of(link.terms.link_id)
        return AlarmRecord(
            id=link.terms.link_id,
            about=link.ref,
            link_id=link.terms.link_id,
            source="page",
            state=RAISED if report else ARMED,
            created_ms=link.created_ms,
            expires_at=link.terms.expires_at,
            raised_ms=report.at_ms if report else None,
            display_name=link.display_name,
            ticket="" if link.checked else link.ticket,  # what has to be typed must not be there to be read
            time_zone=link.time_zone,
            locale=link.locale,
            brand=link.brand,
        )

    def _typed_right(self, fields: Mapping[str, object]) -> bool:
        return same_words(fields.get("words"), (language.say("alarm.words") for language in self._renderer.languages))

    def _refuse(self, request: Request, found: Raisable, problem: str, *, typed: bool) -> Response:
        if not typed:
            return _refused_in_json(problem)
        language = self._renderer.language(request, found.alarm.locale)
        words = language.say(_TYPED_PROBLEMS.get(problem, "alarm.refused"), words=language.say("alarm.words"))
        return HTMLResponse(self._render(request, found, found.alarm, problem=words), 403)

    def _render(self, request: Request, found: Raisable, alarm: AlarmRecord, *, problem: str = "") -> str:
        return self._renderer.alarm(
            alarm,
            self._renderer.language(request, alarm.locale),
            challenge=self._proofs.for_page(found.challenge_for),
            path=found.path,
            action=found.action,
            lookup=found.lookup,
            problem=problem,
        )

    def _unknown(self, request: Request, visitor: Visitor) -> Response:
        of_alarm = request.scope["path"].startswith("/n/")
        page = self._renderer.alarm_gone if of_alarm else self._renderer.unknown
        return self._strangers.page(request, visitor, page)


def _refused_in_json(problem: str) -> Response:
    return error_answer(403, problem, "the alarm was not raised")
