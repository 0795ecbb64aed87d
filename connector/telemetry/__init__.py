"""Logs and error reports, and the one place where they are kept free of secrets. Beside it: `metrics`.

Logs are structlog events: for people on a terminal, JSON lines for machines. The standard library's loggers (uvicorn,
alembic, urllib3) go through the same processors. Tracebacks never show local variables: a password is one.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from connector.core.secret import Secret

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Event, Hint

SUSPICIOUS_KEYS = re.compile(
    r"pass(word|phrase|wd)?$|secret|token|authori[sz]ation|cookie|api[_-]?key|private[_-]?key|pepper|sealed|credential|url$",
    re.IGNORECASE,
)
LINK_ADDRESS = re.compile(
    r"/(s|n|p|pushes|secret|receipt|private)/[A-Za-z0-9_-]{10,}(?:(?:#|%(?:25)*23)[A-Za-z0-9_-]+)?"
)
"""Of a link or an alarm; a link's token may stand behind the hash, which mail gateways turn into %23 or %2523. After
those of our own service Password Pusher's and OneTimeSecret's."""
BEARER = re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9+/=._~-]{8,}")
JSON_WEB_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
LOUD_LIBRARIES = ("urllib3", "msal", "uvicorn", "alembic", "sqlalchemy", "asyncio", "aiosmtpd", "schedule")


def scrub(value: Any, *, key: str = "", depth: int = 0) -> Any:
    """The value without anything that looks like a secret, by its key or by its form.

    The last net, not the first: secrets are in `Secret`, and messages are written without them.
    """
    if isinstance(value, Secret) or (key and SUSPICIOUS_KEYS.search(key) and value):
        return Secret.MASK
    if isinstance(value, str):
        value = LINK_ADDRESS.sub(r"/\1/***", value)
        value = BEARER.sub(r"\1 ***", value)
        return JSON_WEB_TOKEN.sub("***", value)
    if depth > 8:
        return "…"
    if isinstance(value, dict):
        return {name: scrub(item, key=str(name), depth=depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth=depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float | date | timedelta):
        return value
    return scrub(repr(value))  # what a renderer would make of any other object


def scrub_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: `scrub` over a whole event."""
    # The names with an underscore are structlog's own and never shown: it needs them as they are.
    return {name: item if name.startswith("_") else scrub(item, key=name) for name, item in event.items()}


def start_logging(*, level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (default: standard error).

    Args:
        format: `console` for people, `json` for machines, `auto`: console on a terminal, else JSON.
    """
    target: TextIO | None = stream or sys.stderr  # there is none where it was closed before the start
    is_terminal = target is not None and target.isatty()
    for_people = format == "console" or (format == "auto" and is_terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # plain text: the rich and dict forms show local variables
        scrub_event,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=is_terminal, exception_formatter=structlog.dev.plain_traceback, pad_event_to=16
        )
        if for_people
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.NullHandler() if target is None else logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in LOUD_LIBRARIES:
        # Their debug level writes addresses and headers; nothing of that is ours to publish. urllib3 does so when it
        # warns, too, and what goes wrong with a call we say ourselves.
        least = logging.CRITICAL if name == "urllib3" else logging.WARNING
        logging.getLogger(name).setLevel(max(least, logging.getLevelNamesMapping()[level.upper()]))
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOUD_LIBRARIES:
            # Some bring handlers of their own, which would write past the scrubbing above.
            library = logging.getLogger(name)
            library.handlers.clear()
            library.propagate, library.disabled = True, False
            if "." in name:
                library.setLevel(logging.NOTSET)  # that of its parent, set above


def start_sentry(
    dsn: Secret,
    *,
    environment: str,
    release: str,
    transport: Transport | None = None,
) -> None:
    """Report unexpected exceptions to Sentry, without local variables, request bodies or breadcrumbs' data.

    Personal data (`send_default_pii`) is off by default, and naming it warns of its end. Source: sentry-sdk 2.75,
    read 2026-11-22.

    Args:
        transport: Takes the events instead of the network; for tests.
    """
    import sentry_sdk  # here and below: 4 MB that the link service does without

    sentry_sdk.init(
        dsn=dsn.reveal(),
        environment=environment,
        release=release,
        include_local_variables=False,  # on by default: a password is a local variable
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,  # they hold the addresses of outside calls
        default_integrations=False,
        auto_enabling_integrations=False,
        traces_sample_rate=0.0,
        before_send=_before_send,
        transport=transport,
    )


def report(error: BaseException, **tags: str) -> None:
    """Tell Sentry, if it was started, and count the bug."""
    import sentry_sdk

    from connector.telemetry.metrics import BUGS

    BUGS.inc()
    with sentry_sdk.new_scope() as scope:
        for name, value in tags.items():
            scope.set_tag(name, value)
        scope.capture_exception(error)


def _before_send(event: Event, hint: Hint) -> Event | None:  # noqa: ARG001
    clean: Event = scrub(event)
    clean.pop("request", None)
    clean.pop("extra", None)
    clean.pop("server_name", None)
    return clean
