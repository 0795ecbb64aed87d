"""Reading a control call, and answering its mistakes in words."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.desk_records import NotThere, Refusal

Handler = Callable[[Request], Awaitable[Response]]


def careful_with(handler: Handler) -> Handler:
    """Mistakes in a control call are answered in words, not with a stack trace."""

    async def careful(request: Request) -> Response:
        try:
            return await handler(request)
        except NotThere as error:
            return JSONResponse({"error": f"There is no {error}"}, status_code=404)
        except (Refusal, KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)

    return careful


async def object_of(request: Request) -> dict[str, Any]:
    text = await request.body()
    body = json.loads(text) if text else {}
    if not isinstance(body, dict):
        raise ValueError("a JSON object is wanted")
    return body
