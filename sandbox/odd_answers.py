"""Answers of Graph in the shapes that its many services have been seen to give, for faults that ask for one by name.

Sources: learn.microsoft.com/graph/errors; GitHub msgraph-sdk-powershell#937, microsoft-graph-docs#14470 and connectors
in public that parse such answers; read 2026-11-22.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

TEXT = "The sandbox was told to fail this call."
DIRECTORY_CODES = {
    400: "Request_BadRequest",
    403: "Authorization_RequestDenied",
    404: "Request_ResourceNotFound",
    429: "TooManyRequests",
    503: "serviceUnavailable",
}
MFA_CODES = {
    400: "badRequest",
    401: "unauthenticated",
    403: "accessDenied",
    404: "resourceNotFound",
    409: "conflict",
    429: "tooManyRequests",
}


def _mface(_status: int) -> Any:
    resource = "https://mface.windowsazure.com/odata/authentication/methods('…')"
    return {"Message": f"No HTTP resource was found that matches the request URI '{resource}'."}


def _lower_case(status: int) -> Any:
    inner = {"message": TEXT, "date": "2026-11-22T09:00:00", "request-id": "…", "client-request-id": "…"}
    return {"error": {"code": MFA_CODES.get(status, "generalException"), "message": TEXT, "innerError": inner}}


def _nested(status: int) -> Any:
    code = DIRECTORY_CODES.get(status, "UnknownError")
    inner = {"code": "nestedReason", "innererror": {"code": "innermostReason"}, "date": "2026-11-22T09:00:00"}
    return {"error": {"code": code, "message": TEXT, "innererror": inner}}


def _empty_code(_status: int) -> Any:
    return {"error": {"code": "", "message": "", "innerError": None}}


def _internal_exception(_status: int) -> Any:
    return {"error": {"code": "", "message": "", "innererror": {"internalException": {"message": TEXT}}}}


def _text_error(_status: int) -> Any:
    return {"error": TEXT}


def _list(_status: int) -> Any:
    return [TEXT]


SHAPES: dict[str, Callable[[int], Any]] = {
    "mface": _mface,
    "lower_case": _lower_case,
    "nested": _nested,
    "empty_code": _empty_code,
    "internal_exception": _internal_exception,
    "text_error": _text_error,
    "list": _list,
}
GATEWAY = "gateway"
"""A page of a gateway in front of Graph: no JSON at all."""

NAMES = (*SHAPES, GATEWAY)
PAGE = (
    "<html><head><title>Bad Gateway</title></head><body><h1>Our services aren't available right now</h1></body></html>"
)


def odd_text(shape: str, status: int) -> tuple[str, str]:
    """Body and media type."""
    if shape == GATEWAY:
        return PAGE, "text/html"
    return json.dumps(SHAPES[shape](status)), "application/json"


def odd_item(shape: str, status: int) -> Any:
    """The same inside a batch, where a body that is no JSON comes as base64."""
    return base64.b64encode(PAGE.encode()).decode() if shape == GATEWAY else SHAPES[shape](status)
