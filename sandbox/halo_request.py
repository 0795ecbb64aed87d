"""How HaloPSA reads a request: forgiving about names and case, strict about values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request

from sandbox.desk_records import NotThere

_Record = TypeVar("_Record")


class ModelState(Exception):
    """A value that does not parse; answered as ASP.NET's map of field paths to messages."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path, self.message = path, message


class Denied(Exception):
    """The agent may not see this record; answered with that status and no body."""

    def __init__(self, status: int) -> None:
        super().__init__(f"denied with {status}")
        self.status = status


def query_of(request: Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.query_params.items()}


def is_true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")


def numbers_in(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip().isdigit()]


def number_in(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit():
        raise ModelState(name, f"The value '{text}' is not valid.")
    return int(text)


def moment_in(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ModelState(name, f"The value '{text}' is not valid.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def path_id(request: Request) -> int:
    text = request.path_params["id"]
    if not text.isdigit():
        raise ModelState("id", f"The value '{text}' is not valid.")
    return int(text)


def record_of(records: dict[int, _Record], request: Request) -> _Record:
    record = records.get(path_id(request))
    if record is None:
        raise NotThere(request.url.path)
    return record


async def array_of(request: Request) -> list[dict[str, Any]]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise ModelState("", "A non-empty request body is required.") from None
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise ModelState("", "Cannot deserialize the current JSON object because the type requires a JSON array.")
    return body


def whole(body: dict[str, Any], name: str, index: int) -> int:
    """A whole number; text that reads as one is taken, as HaloPSA's own pages send it."""
    try:
        return int(body[name])
    except (KeyError, TypeError, ValueError):
        message = (
            f"Could not convert string to integer: {body.get(name)}. Path '[{index}].{name}', line 1, position 12."
        )
        raise ModelState(f"[{index}].{name}", message) from None
