"""Every operation of the API, once: what routes requests is also what the OpenAPI document is made from.

The document follows OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1, read 2026-11-22). Its schemas come from the
shapes that read requests and write answers, so it cannot say something else than the service does.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connector.core.secret import Secret
from connector.secretlink.seal import Terms, decode_token, lookup_of, new_link_id, new_token, seal
from connector.secretlink.service.answers import API_BODY_LIMIT
from connector.secretlink.service.api.answers import (
    AlarmAnswer,
    ErrorAnswer,
    EventListAnswer,
    LinkAnswer,
    LinkListAnswer,
)
from connector.secretlink.service.api.bodies import AlarmBody, CreateBody
from connector.secretlink.service.api.keys import Scope
from connector.secretlink.service.api.shapes import Shape, reference, schemas

VERSION: Final = "1.1.0"
PREFIX: Final = "/api/v1"
MOST_EVENTS: Final = 500
MOST_LINKS: Final = 200
LONGEST_WAIT: Final = timedelta(seconds=30)
LARGEST_CURSOR: Final = 2**62
EXAMPLE_LIVES: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Number:
    """A whole number in the query."""

    name: str
    default: int
    least: int
    most: int
    meaning: str

    def schema(self) -> Mapping[str, object]:
        """For the document."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}


@dataclass(frozen=True)
class Word:
    """A text in the query; left out, it is empty."""

    name: str
    pattern: str
    longest: int
    meaning: str
    known: tuple[str, ...] = ()

    def schema(self) -> Mapping[str, object]:
        """For the document."""
        if self.known:
            return {"type": "string", "enum": list(self.known)}
        return {"type": "string", "pattern": self.pattern, "maxLength": self.longest}


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked of the API.

    Attributes:
        id: Its name in the document, and by which the endpoint is found.
        scope: What a key needs; `None`: no key is asked for.
        body: What has to be sent; `None`: whatever is sent is not read.
        answers: Shape and meaning for each good status; `None` for the document itself.
        errors: What else can come, beside what comes everywhere.
    """

    id: str
    method: str
    path: str
    scope: Scope | None
    summary: str
    answers: Mapping[int, tuple[type[Shape] | None, str]]
    errors: Mapping[int, str]
    query: tuple[Number | Word, ...] = ()
    body: type[Shape] | None = None


_MADE: Final = "Made now."
_MADE_BEFORE: Final = "Made before, with the same content: nothing was changed, and this is how it is by now."
_WRONG: Final = "Something in the request is not what it must be; the message names it, and repeats no value."
_NO_LINK: Final = "There is no link with this id."

OPERATIONS: Final = (
    Operation(
        id="createLink",
        method="POST",
        path=f"{PREFIX}/links",
        scope=Scope.LINKS_CREATE,
        summary="Make a link. Repeating it with the same content changes nothing.",
        body=CreateBody,
        answers={201: (LinkAnswer, _MADE), 200: (LinkAnswer, _MADE_BEFORE)},
        errors={409: "A link with this id or this token exists and has other content.", 422: _WRONG},
    ),
    Operation(
        id="listLinks",
        method="GET",
        path=f"{PREFIX}/links",
        scope=Scope.LINKS_READ,
        summary="Links in the order of their ids.",
        query=(
            Word("state", "", 16, "Only links in this state.", ("active", "consumed", "expired", "revoked")),
            Word("after", r"^[A-Za-z0-9_-]*$", 64, "Only links behind this id: `next` of the answer before."),
            Number("limit", 50, 1, MOST_LINKS, "At most so many."),
        ),
        answers={200: (LinkListAnswer, "The links; never their content.")},
        errors={422: _WRONG},
    ),
    Operation(
        id="showLink",
        method="GET",
        path=f"{PREFIX}/links/{{link_id}}",
        scope=Scope.LINKS_READ,
        summary="Look at a link: state and counts, never content.",
        answers={200: (LinkAnswer, "As it is now.")},
        errors={404: _NO_LINK, 422: _WRONG},
    ),
    Operation(
        id="revokeLink",
        method="POST",
        path=f"{PREFIX}/links/{{link_id}}/revoke",
        scope=Scope.LINKS_REVOKE,
        summary="End a link now. One that has ended stays as it is.",
        answers={200: (LinkAnswer, "As it is now: it opens nothing any more.")},
        errors={404: _NO_LINK, 422: _WRONG},
    ),
    Operation(
        id="armAlarm",
        method="POST",
        path=f"{PREFIX}/alarms",
        scope=Scope.LINKS_CREATE,
        summary='Make what stands behind "this was not me" in a mail. With `link_id`, it needs `links:revoke` too.',
        body=AlarmBody,
        answers={201: (AlarmAnswer, _MADE), 200: (AlarmAnswer, _MADE_BEFORE)},
        errors={409: "An alarm with this id or this token exists and has other content.", 422: _WRONG},
    ),
    Operation(
        id="readEvents",
        method="GET",
        path=f"{PREFIX}/events",
        scope=Scope.EVENTS_READ,
        summary="What happened after a cursor, oldest first. Reading changes nothing.",
        query=(
            Number("after", 0, 0, LARGEST_CURSOR, "The cursor: `next` of the answer before; 0: from the beginning."),
            Number("limit", 200, 1, MOST_EVENTS, "At most so many."),
            Number(
                "wait", 0, 0, int(LONGEST_WAIT.total_seconds()),
                "Seconds to wait for the first event, if there is none yet. May be cut short: ask again.",
            ),
        ),
        answers={200: (EventListAnswer, "The events; none when the time to wait is over.")},
        errors={
            422: _WRONG,
            503: "The database is away; or, without `Retry-After` and as `history_broken`, somebody changed or removed "
            "events in it: none is told until a person has looked.",
        },
    ),
    Operation(
        id="describeApi",
        method="GET",
        path=f"{PREFIX}/openapi.json",
        scope=None,
        summary="This document.",
        answers={200: (None, "OpenAPI 3.1.")},
        errors={422: _WRONG},
    ),
)  # fmt: skip

_DESCRIPTION: Final = f"""\
One-time links: the caller seals a password, the service shows it a set number of times and tells who opened it.

How to seal, what keys are and how errors read: `docs/links-api.md` of the project.

What holds for every address: a request without a key that works is 401 before anything else is looked at, and 403 when
the key has not the scope; an address that is not here is 404; a method that is not, 405 with `Allow`; a query parameter
that is not, or twice, 422; a body above {API_BODY_LIMIT} bytes 413, one that does not come 408; 503 with `Retry-After`
while the database is away, and then nothing was changed. What is no HTTP is 400, a head above 16 KB 431, both in plain
text. A HEAD is answered like a GET, without the body.
"""


def document(*, now: datetime) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        now: For the example, which holds a freshly sealed text.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, now=now)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "One-time links",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": "links"}, {"name": "events"}, {"name": "about"}],
        "paths": paths,
        "components": {
            "schemas": schemas(
                CreateBody, AlarmBody, LinkAnswer, LinkListAnswer, AlarmAnswer, EventListAnswer, ErrorAnswer
            ),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`sl_<name>_<43 letters>`, made with `connector links new-key`.",
                }
            },
        },
    }


def _describe(operation: Operation, *, now: datetime) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": ["about" if operation.scope is None else "events" if operation.scope is Scope.EVENTS_READ else "links"],
        "parameters": _parameters(operation),
        "responses": {
            str(status): answer for status, answer in sorted(_answers(operation).items(), key=lambda item: item[0])
        },
    }
    if operation.scope is None:
        described["security"] = []
    else:
        described["description"] = f"The key needs the scope `{operation.scope}`."
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": _ref(operation.body), "example": _example(operation.body, now=now)}
            },
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    asked = [
        {"name": one.name, "in": "query", "required": False, "description": one.meaning, "schema": one.schema()}
        for one in operation.query
    ]
    if "{link_id}" in operation.path:
        schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "minLength": 8, "maxLength": 64}
        asked.append({"name": "link_id", "in": "path", "required": True, "schema": schema})
    return asked


def _answers(operation: Operation) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for status, (model, meaning) in operation.answers.items():
        found[status] = {"description": meaning, "content": {"application/json": {"schema": _ref(model)}}}
        if model is LinkAnswer:
            found[status]["links"] = {
                name: {"operationId": other, "parameters": {"link_id": "$response.body#/id"}}
                for name, other in (("look", "showLink"), ("revoke", "revokeLink"))
            }
    errors = {500: "A bug. It is in the service's log."}
    if operation.scope is not None:
        errors |= {
            401: "No key, or one that does not work (any more, or from there).",
            403: "The key has not the scope; `WWW-Authenticate` and the message name it.",
            503: "The database is away; nothing was changed.",
        }
    errors |= operation.errors
    if operation.body is not None:
        errors |= {
            413: f"The body is above {API_BODY_LIMIT} bytes.",
            415: "The body is not declared as application/json.",
        }
    for status, meaning in errors.items():
        found[status] = {
            "description": meaning,
            "content": {"application/json": {"schema": _ref(ErrorAnswer)}},
        }
    for status, name in ((401, "WWW-Authenticate"), (403, "WWW-Authenticate"), (503, "Retry-After")):
        if status in found:
            required = status not in operation.errors
            found[status]["headers"] = {name: {"required": required, "schema": {"type": "string"}}}
    return found


def _ref(model: type[Shape] | None) -> dict[str, object]:
    return {"type": "object"} if model is None else reference(model)


def _example(body: type[Shape], *, now: datetime) -> dict[str, Any]:
    """A body that would be taken within `EXAMPLE_LIVES`. Nobody keeps the token that it was sealed with."""
    expires_at = int((now + EXAMPLE_LIVES).timestamp())
    token = decode_token(new_token().reveal())
    example: dict[str, Any] = {
        "id": new_link_id(),
        "lookup": _encode(lookup_of(token)),
        "display_name": "Anna Example",
        "ticket": "4242",
        "time_zone": "Europe/London",
        "locale": "en",
        "expires_at": expires_at,
    }
    if body is AlarmBody:
        return example | {"about": "case-4242", "link_id": None, "source": "notice"}
    sealed = seal(Secret("an example"), token=token, terms=Terms(example["id"], 2, expires_at))
    return example | {"sealed": _encode(sealed), "max_views": 2, "ref": "halo/4242", "mode": "path"}


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")
