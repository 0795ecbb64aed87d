"""What is answered to whoever is turned away before anything happens: strangers, always in the same way and not too
often, and browsers that come ahead of their people."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.secretlink.service.answers import error_answer
from connector.secretlink.service.pages.languages import Language
from connector.secretlink.service.pages.render import Renderer
from connector.secretlink.service.pages.visitors import Brake, UnknownTokenBrake
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.vault import Vault


class Strangers:
    """Turns away who shows a token that never was, is of another service, was purged or was cut short.

    And a browser that loads a page before anybody wants to see it, whatever it shows.
    """

    def __init__(self, vault: Vault, brake: UnknownTokenBrake, renderer: Renderer) -> None:
        self._vault = vault
        self._brake = brake
        self._renderer = renderer

    def page(self, request: Request, visitor: Visitor, unknown: Callable[[Language], str]) -> Response:
        """The same page for each of them; after too many, a page that says to wait."""
        language = self._renderer.language(request)
        if self._is_braked(visitor):
            wait = self._renderer.message("throttled", language)
            return HTMLResponse(wait, 429, headers={"Retry-After": "60"})
        return HTMLResponse(unknown(language), 404)

    def json(self, visitor: Visitor) -> Response:
        """The same for a script."""
        if self._is_braked(visitor):
            return error_answer(429, "too_many", "too many unknown links; wait a minute", headers={"Retry-After": "60"})
        return error_answer(404, "gone", "this link cannot be opened")

    def ahead(self, request: Request, locale: str = "") -> Response:
        """A browser that loads pages ahead of the person is sent away until the person really comes.

        Args:
            locale: Of the link or alarm, when there is one.
        """
        return HTMLResponse(self._renderer.message("prefetch", self._renderer.language(request, locale)), 503)

    def _is_braked(self, visitor: Visitor) -> bool:
        brake = self._brake.count(visitor.ip)
        if brake is Brake.CROSSED:
            self._vault.record_burst(visitor=visitor)
        return brake is not Brake.FREE
