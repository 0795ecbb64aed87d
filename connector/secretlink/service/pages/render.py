"""Makes the pages' HTML, each in one language. Every value is escaped; a misspelt name is an error, not a blank."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request

from connector.core.secret import Secret
from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.pages.assets import StaticFiles
from connector.secretlink.service.pages.brand import Brand
from connector.secretlink.service.pages.languages import Language, Languages
from connector.secretlink.service.pages.qr import draw
from connector.secretlink.service.store.chain import Event
from connector.secretlink.service.store.claims import MOST_WRONG_ANSWERS
from connector.secretlink.service.store.links import AlarmRecord, LinkRecord

__all__ = ["Renderer", "StaticFiles"]

_WHERE_WHEN_GOES: Final = Markup('<span id="when"></span>')


class Renderer:
    """Makes HTML."""

    def __init__(self, options: LinkServiceOptions, files: StaticFiles) -> None:
        self.languages: Final = Languages()
        self.draws_qr: Final = options.qr
        self._own_brand = Brand(
            name=options.brand_name or "",
            phone=options.brand_phone or None,
            url=options.brand_url or None,
            colour=options.brand_colour or "",
            logo=files.logo,
        )
        for language in self.languages:
            files.add_script(f"texts-{language.tag}.js", f'"use strict";const language={language.for_scripts};')
        loader = PackageLoader("connector.secretlink.service.pages")
        self._templates = {language.tag: _environment(language, files, loader) for language in self.languages}
        self._others = {
            language.tag: [other for other in self.languages if other is not language] for language in self.languages
        }

    def language(self, request: Request, locale: str = "") -> Language:
        """The language for a request; see `Languages.choose`.

        Args:
            locale: Of the link or alarm, when there is one.
        """
        return self.languages.choose(
            asked=request.query_params.get("lang", ""),
            locale=locale,
            accepted=request.headers.get("accept-language", ""),
        )

    def link(
        self,
        link: LinkRecord,
        language: Language,
        *,
        challenge: str,
        nonce: str,
        path: str,
        now: datetime,
        views: Sequence[Event] = (),
        problem: str = "",
    ) -> str:
        """The page of a link that can be opened. Holds nothing of the password.

        Args:
            path: The page's own address, without host.
            views: The reveals so far.
            problem: Why the form without JavaScript was not accepted.
        """
        return self._render(
            "link.html",
            language,
            self._own_brand.of_link(link.brand),
            path=path,
            link=link,
            fragment=False,
            checked=link.checked,
            # What has to be typed must not be there to be read.
            ticket="" if link.checked else link.ticket,
            whose=_whose(link.display_name),
            challenge=challenge,
            nonce=nonce,
            openings=_openings(language, link, views),
            can_be_reported=link.can_be_reported(now, views=views),
            problem=problem,
            seconds_left=self.seconds_left(link, now),
            **self._facts(link, language, now),
        )

    def fragment(self, link: LinkRecord, language: Language, *, challenge: str, path: str) -> str:
        """The page of a link whose token the browser keeps. Says nothing of the link, not even whether it lives.

        Whoever knows the id alone, from the access log of a proxy, sees the same whatever became of the link.
        """
        nothing = {"time_left": "", "views_left": "", "until": "", "until_iso": ""}
        return self._render(
            "link.html",
            language,
            self._own_brand.of_link(link.brand),
            path=path,
            link=link,
            fragment=True,
            checked=False,
            ticket="",
            whose="",
            challenge=challenge,
            nonce="",
            openings=(),
            can_be_reported=False,
            problem="",
            **nothing,
        )

    def facts(self, link: LinkRecord, language: Language, *, now: datetime) -> dict[str, object]:
        """What a page without facts of its own is told once it has proved that it may know."""
        shown = {"name": link.display_name, "ticket": "" if link.checked else link.ticket, "checked": link.checked}
        if shown["ticket"]:
            shown["ticket"] = language.say("page.ticket", ticket=link.ticket).unescape()
        until = self._facts(link, language, now)
        return shown | {"until": until["until"], "until_iso": until["until_iso"]}

    def revealed(self, link: LinkRecord, language: Language, password: Secret, *, now: datetime) -> str:
        """The answer to the form without JavaScript: the password itself."""
        return self._render(
            "revealed.html",
            language,
            self._own_brand.of_link(link.brand),
            link=link,
            ticket="" if link.checked else link.ticket,
            whose=_whose(link.display_name),
            # Compare `pieces` in link.js.
            pieces=[piece for piece in re.split("(?=-)", password.reveal()) if piece],
            spelled=language.speller.spell(password.reveal()),
            qr=draw(password) if self.draws_qr else None,
            **self._facts(link, language, now),
        )

    def gone(
        self,
        link: LinkRecord,
        language: Language,
        *,
        views: Sequence[Event],
        report: Event | None,
        path: str,
        now: datetime,
        lookup: str = "",
    ) -> str:
        """The page of a link that has ended, for a visitor who shows its true token.

        Args:
            views: The reveals.
            report: When somebody said "that was not me"; `None` when nobody has.
            path: The link's address, without host.
            lookup: In letters, where the browser alone has the token: its pages are asked for with a form.
        """
        return self._render(
            "gone.html",
            language,
            self._own_brand.of_link(link.brand),
            path=path,
            # What a form has shown cannot be loaded again in another language.
            others=() if lookup else self._others[language.tag],
            link=link,
            closed_by_check=link.check_failures >= MOST_WRONG_ANSWERS,
            ended=language.moment(link.ended_ms // 1000, link.time_zone) if link.ended_ms is not None else "",
            openings=_openings(language, link, views),
            reported=language.moment(report.at_ms // 1000, link.time_zone) if report else "",
            can_be_reported=link.can_be_reported(now, views=views),
            lookup=lookup,
        )

    def unknown(self, language: Language) -> str:
        """The page for a token that never was, is of another service, was purged or was cut short: always the same."""
        return self._render("gone.html", language, self._own_brand, link=None, openings=())

    def alarm(
        self,
        alarm: AlarmRecord,
        language: Language,
        *,
        challenge: str,
        path: str,
        action: str,
        lookup: str = "",
        problem: str = "",
    ) -> str:
        """The page of an alarm that can be raised, or was.

        Args:
            path: The page's own address, without host.
            action: Where the alarm is raised.
            lookup: What its requests have to show, in letters; empty: nothing.
            problem: Why the form without JavaScript was not accepted.
        """
        raised = "" if alarm.raised_ms is None else language.moment(alarm.raised_ms // 1000, alarm.time_zone)
        return self._render(
            "alarm.html",
            language,
            self._own_brand.of_link(alarm.brand),
            path=path,
            others=() if lookup else self._others[language.tag],
            action=action,
            lookup=lookup,
            alarm=alarm,
            raised=raised,
            challenge=challenge,
            problem=problem,
            when_place=_WHERE_WHEN_GOES,
        )

    def alarm_gone(self, language: Language) -> str:
        """The page of an alarm that never was or whose time is over: the same for both."""
        return self._render("alarm_gone.html", language, self._own_brand)

    def message(self, name: str, language: Language) -> str:
        """A short page: `throttled`, `prefetch`, `away`, `not_here`, `damaged`, or `again` (open it once more)."""
        return self._render(
            "message.html",
            language,
            self._own_brand,
            title=language.say(f"message.{name}_title"),
            text=language.say(f"message.{name}"),
        )

    @staticmethod
    def seconds_left(link: LinkRecord, now: datetime) -> int:
        """How long a link can still be opened; never below zero."""
        return max(0, link.terms.expires_at - int(now.timestamp()))

    def _facts(self, link: LinkRecord, language: Language, now: datetime) -> dict[str, str]:
        return {
            "time_left": language.duration(self.seconds_left(link, now)),
            "views_left": language.say("link.views", n=link.terms.max_views, left=link.views_left),
            "until": language.moment(link.terms.expires_at, link.time_zone),
            "until_iso": datetime.fromtimestamp(link.terms.expires_at, UTC).isoformat(),
        }

    def _render(self, name: str, language: Language, brand: Brand, **values: object) -> str:
        always = {
            "language": language,
            "path": "",
            "others": self._others[language.tag],
            "brand": brand,
            "desk": brand.name or language.say("desk.name"),
        }
        return self._templates[language.tag].get_template(name).render(always | values)


def _environment(language: Language, files: StaticFiles, loader: BaseLoader) -> Environment:
    """The templates in one language.

    What a template says without values, and where it finds files, is worked out when it is compiled: as filters of
    constants both are constants themselves.
    """
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # the templates are part of the program
    )
    environment.filters["say"] = language.say
    environment.filters["static"] = lambda name: files.path(name.format(tag=language.tag))
    return environment


def _whose(name: str) -> Markup:
    return Markup('<span class="whose">') + name + Markup("</span>") if name else Markup("")


def _openings(language: Language, link: LinkRecord, views: Sequence[Event]) -> list[dict[str, str]]:
    return [
        {
            "when": language.moment(view.at_ms // 1000, link.time_zone),
            "place": language.place(view.place),
            "agent": language.agent(view.agent),
        }
        for view in views
    ]
