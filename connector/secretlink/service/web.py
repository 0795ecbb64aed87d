"""The link service as a web application, and the process that runs it.

One process, with the database inline: a claim takes about a millisecond, and a single writer is what SQLite does best.
The paths of requests are never logged, because they hold tokens; see `answers.UniformAnswers` for what a bug may say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connector.errors import ConfigError
from connector.secretlink.place import Places, parse_networks
from connector.secretlink.seal import Pepper
from connector.secretlink.service.answers import (
    BodyTooLarge,
    BodyTooSlow,
    UniformAnswers,
    database_code,
    error_answer,
    say_failure,
)
from connector.secretlink.service.api.keys import ApiKeys
from connector.secretlink.service.api.routes import Api
from connector.secretlink.service.caretaker import LONGEST_SLEEP, Caretaker
from connector.secretlink.service.ending import Ending, noted_signals
from connector.secretlink.service.news import News
from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.pages.alarm_pages import AlarmPages
from connector.secretlink.service.pages.challenge import Challenges
from connector.secretlink.service.pages.link_pages import Pages
from connector.secretlink.service.pages.proofs import Proofs, is_form
from connector.secretlink.service.pages.render import Renderer, StaticFiles
from connector.secretlink.service.pages.strangers import Strangers
from connector.secretlink.service.pages.visitors import UnknownTokenBrake, Visitors
from connector.secretlink.service.store.chain import HistoryBroken
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.wire import bounded_http

if TYPE_CHECKING:
    from connector.secretlink.service.webhooks import Webhooks

__all__ = ["LinkServiceOptions", "create_app", "open_listener", "serve"]

_GRACE: Final = timedelta(seconds=10)
_BACKLOG: Final = 128
"""Connections that are let in before any of them is looked at: as many may be above the bound for a moment."""
_OPENINGS_WAIT: Final = timedelta(milliseconds=200)

log = structlog.get_logger(__name__)


def create_app(options: LinkServiceOptions, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Starlette:
    """Build the application. The database must have its tables already.

    Args:
        clock: Returns the time now, with a zone.

    Raises:
        ConfigError: Options that cannot work, or a database that cannot be opened, read and written.

    While it runs (its lifespan), links are expired on time and old ones purged.
    """
    options.check()
    peppers = Peppers(Pepper(options.pepper), *map(Pepper, options.old_peppers))
    trusted = parse_networks(options.trusted_proxies)
    news = News()
    places = Places(options.mmdb, options.network_mmdb)
    openings = News()
    vault = Vault(
        options.database,
        peppers,
        clock=clock,
        on_event=news.announce,
        on_opening=openings.announce,
        mask_ip=options.mask_ip,
    )
    _require_alive(vault)
    files = StaticFiles(options.brand_logo)
    renderer = Renderer(options, files)
    proofs = Proofs(Challenges(*peppers.challenge_keys, clock=clock))
    visitors = Visitors(places, trusted)
    strangers = Strangers(vault, UnknownTokenBrake(clock=clock), renderer)
    pages = Pages(vault, proofs, visitors, strangers, renderer, clock=clock)
    alarm_pages = AlarmPages(vault, proofs, visitors, strangers, renderer, clock=clock)
    keys = ApiKeys(options.every_key(), clock=clock)
    api = Api(vault, keys, news, trusted_proxies=trusted, clock=clock)

    webhooks: Webhooks | None = None
    if options.webhook is not None:
        # Imported here: with everything that speaks HTTP it costs some megabytes, which most services do without.
        from connector.secretlink.service.webhooks import Webhooks

        webhooks = Webhooks(options.webhook, vault, news, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        keys.warn_of_ends()
        work = Caretaker(
            vault,
            clock=clock,
            retention=options.retention,
            ip_retention=options.ip_retention,
            announce=news.announce,
        ).work
        tasks = [asyncio.create_task(_take_care(work, news)), asyncio.create_task(_keep_writing(vault, openings))]
        if webhooks is not None:
            tasks.append(asyncio.create_task(webhooks.run()))
        try:
            yield
        finally:
            news.close()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    say_failure(outcome)
            for ending in (vault.write_openings, vault.checkpoint, vault.close, places.close):
                with _said():  # whatever fails, the rest is still done
                    ending()

    refusals = _Refusals(renderer)
    app = _Application(
        # They are tried in this order: what is asked for most comes first.
        routes=[*pages.routes(), *api.routes(), *alarm_pages.routes(), *_plain_routes(vault, files)],
        exception_handlers={
            HTTPException: refusals.refuse,
            SQLAlchemyError: refusals.database_away,
            HistoryBroken: refusals.history_broken,
            BodyTooLarge: refusals.body_too_large,
            BodyTooSlow: refusals.body_too_slow,
        },
        lifespan=lifespan,
    )
    # A redirect to the same address without its last slash would repeat the token in a header for nothing.
    app.router.redirect_slashes = False
    app.state.vault = vault
    app.state.news = news
    app.state.api = api
    return app


def _require_alive(vault: Vault) -> None:
    """Not to be found out by the first link: a database that can only be read answers everything else."""
    try:
        vault.is_alive()
    except SQLAlchemyError as error:
        vault.close()
        raise ConfigError(
            f"The link service's database cannot be written ({database_code(error) or type(error).__name__}). Check "
            "`database`: the file and its folder must be writable for this user and free of other programs, a "
            "PostgreSQL must not be a standby."
        ) from None


def serve(
    options: LinkServiceOptions,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ready: Callable[[str, int], None] | None = None,
    ending: Ending | None = None,
) -> None:
    """Run the link service until SIGTERM, SIGINT or (Windows) Ctrl+Break; then finish what is in hand and return.

    Args:
        ready: Called with host and port once requests are taken.
        ending: Whose notes count, where signals are noted already; `None`: they are noted here.

    Raises:
        ConfigError: It cannot start: options, database or port.
    """
    # uvicorn listens only once the application is there. And at the end it raises the signal that stopped it once more,
    # of which nothing should come.
    with contextlib.nullcontext(ending) if ending else noted_signals() as told:
        app = create_app(options, clock=clock)
        try:
            listener = open_listener(options.listen_host, options.listen_port)
        except ConfigError:
            app.state.vault.close()
            raise
        config = uvicorn.Config(
            app,
            http=bounded_http(),
            backlog=_BACKLOG,
            proxy_headers=False,  # we read X-Forwarded-For ourselves, believing only named proxies
            access_log=False,  # paths hold tokens
            server_header=False,
            log_config=None,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=int(_GRACE.total_seconds()),
        )
        host, port = listener.getsockname()[:2]
        _Server(config, app, lambda: _say_ready(host, port, ready), told).run([listener])


class _Application(Starlette):
    """Starlette with the uniform headers, and with the answer to a bug, outside of everything."""

    def build_middleware_stack(self) -> ASGIApp:
        # Without Starlette's own last resort, which would answer a bug in words of its own.
        return UniformAnswers(ExceptionMiddleware(self.router, handlers=self.exception_handlers))


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready, and lets nobody's long poll hold up the end."""

    def __init__(self, config: uvicorn.Config, app: Starlette, ready: Callable[[], None], ending: Ending) -> None:
        """Nothing runs yet.

        Args:
            ending: Has the signals that came before uvicorn listens for them.
        """
        super().__init__(config)
        self._app = app
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ending.signals:
            self.should_exit = True
        elif self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.news.close()
        await super().shutdown(sockets)
        log.info("link_service_stopped")


class _Refusals:
    """What is answered when no endpoint answers."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def refuse(self, request: Request, error: Exception) -> Response:
        """404 and 405. The pages of unknown addresses and of unknown links are the same."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        if request.scope["path"].startswith("/api/"):
            return error_answer(status, "refused", "there is nothing here for this method and address", headers=headers)
        language = self._renderer.language(request)
        if status == 404:
            return HTMLResponse(self._renderer.unknown(language), 404)
        return HTMLResponse(self._renderer.message("not_here", language), status, headers=headers)

    async def database_away(self, request: Request, error: Exception) -> Response:
        """503 while the database is locked, full or gone; nothing was counted."""
        say_failure(error)
        headers = {"Retry-After": "5"}
        if request.scope["path"].startswith(("/s/", "/n/")) and (request.method == "GET" or is_form(request)):
            page = self._renderer.message("away", self._renderer.language(request))
            return HTMLResponse(page, 503, headers=headers)
        return error_answer(503, "unavailable", "the database is away; nothing was changed", headers=headers)

    async def history_broken(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """503, and no event. Without `Retry-After`: it is not a matter of time, and what links need goes on."""
        return error_answer(503, "history_broken", str(error))

    async def body_too_large(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """413, and the connection is closed: the rest of the body was not read."""
        much = f"{error.limit // 1024} KB" if isinstance(error, BodyTooLarge) else "its limit"
        return error_answer(413, "too_large", f"the body is above {much}", headers={"Connection": "close"})

    async def body_too_slow(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """408, and the connection is closed: the rest of the body was not waited for."""
        return error_answer(408, "too_slow", "the body did not come in time", headers={"Connection": "close"})


def _plain_routes(vault: Vault, files: StaticFiles) -> list[Route]:
    async def static(request: Request) -> Response:
        found = files.find(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return Response(
            found.content,
            media_type=found.media_type,
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    async def healthz(_: Request) -> Response:
        vault.is_alive()
        return JSONResponse({"status": "ok"})

    return [Route("/static/{name}", static, methods=["GET"]), Route("/healthz", healthz, methods=["GET"])]


async def _keep_writing(vault: Vault, openings: News) -> None:
    """Write openings a moment after the first of them, so that many share a commit."""
    while True:
        await openings.wait(LONGEST_SLEEP)
        await asyncio.sleep(_OPENINGS_WAIT.total_seconds())
        with _said():
            vault.write_openings()


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What goes wrong in the block ends it, is said in the log, and stops nothing else."""
    try:
        yield
    except Exception as error:
        say_failure(error)


async def _take_care(work: Callable[[], timedelta], news: News) -> None:
    """Let the caretaker do its work as often as it asks for. Lives through a database that is away, or changed."""
    while not news.closed:
        sleep = LONGEST_SLEEP
        with _said():  # links still have to end in time: it is called again, and does the other things first
            sleep = work()
        await news.wait(sleep)


def _say_ready(host: str, port: int, ready: Callable[[str, int], None] | None) -> None:
    log.info("link_service_started", host=host, port=port)
    if ready:
        ready(host, port)


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 lets the system choose.

    Raises:
        ConfigError: The port is taken, or the address is not one of this machine.
    """
    # TCP is named, unlike in `socket.create_server`: asyncio switches Nagle's algorithm off only where it is, and with
    # it every answer on a kept connection waits 40 ms. Source: CPython 3.11, asyncio/base_events.py, read 2026-11-22.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:  # of a name that is none
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        todo = (
            "another program uses the port"
            if taken
            else "it names an address of this machine, and a port for this user"
        )
        why = error.strerror if isinstance(error, OSError) else "this is no name of a host"
        raise ConfigError(f"The link service cannot listen on {host}:{port} ({why}). Check `listen`: {todo}.") from None
    return listener
