"""How ConnectWise reads a request and shapes an answer: query, conditions, paging, projection, errors.

Names of query parameters work in any case and unknown ones are ignored, as clients in the wild need it. Sources, read
2026-11-22: the Developer Guide; ConnectWiseManageAPI (PowerShell) for the empty `Link` of a last forward-only page.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.connectwise_columns import moment_of
from sandbox.connectwise_conditions import Getter, Test, compiled, parse, paths_in, unrecognised
from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_records import Rejected, invalid
from sandbox.world import World

Handler = Callable[[Request], Awaitable[Response]]

Route = tuple[str, str, Handler]

DEFAULT_PAGE, PAGE_LIMIT = 25, 1000
VERSION = "2026.4"


class Call:
    """What every group of handlers needs; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def desk(self) -> ConnectWiseDesk:
        return self.world.connectwise

    def answer(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        return answer(content, status, headers, vendor=self.desk.habits.vendor_media_type)

    def page(
        self, request: Request, records: list[Any], row: Callable[[Any], Any], *, navigable_only: bool = False
    ) -> Response:
        """One page of records that are already chosen and in order, as a list with its `Link`; or their count."""
        if request.scope["path"].endswith("/count"):
            return self.answer({"count": len(records)})
        query = query_of(request)
        size = min(max(whole_in(query, "pagesize", DEFAULT_PAGE), 1), PAGE_LIMIT)
        forward = request.headers.get("pagination-type", "").lower() == "forward-only" and not navigable_only
        if forward:
            after = whole_in(query, "pageid", 0)
            left = sorted((record for record in records if record.id > after), key=lambda record: record.id)
            shown = left[:size]
            # Always there, and empty when there is nothing more.
            link = self._link(request, "next", pageId=shown[-1].id) if len(left) > size else ""
        else:
            number = max(whole_in(query, "page", 1), 1)
            shown = records[(number - 1) * size : number * size]
            # A ticket that comes between two pages pushes the rest down, so a row comes again on the last one.
            if 0 < len(shown) < size and number > 1 and self.world.faults.chance("twice on two pages", 0.3):
                shown = [records[(number - 1) * size - 1], *shown]
            last = max(1, -(-len(records) // size))
            rels = {"prev": number - 1, "first": 1} if number > 1 else {}
            rels |= {"next": number + 1, "last": last} if number < last else {}
            link = ", ".join(self._link(request, rel, page=to) for rel, to in rels.items())
        headers = {"Link": link} if link or forward else {}
        rows = [row(record) for record in shown]
        return self.answer([self.projected(request, one) for one in rows], headers=headers)

    def single(self, request: Request, row: dict[str, Any]) -> Response:
        return self.answer(self.projected(request, row))

    def projected(self, request: Request, row: dict[str, Any]) -> dict[str, Any]:
        """Only what `fields` names. Whether `_info` survives is a habit."""
        fields = query_of(request).get("fields", "")
        if not fields:
            return row
        kept: dict[str, Any] = {}
        for path in fields.split(","):
            head, _, rest = path.strip().partition("/")
            if head not in row or (head == "_info" and not self.desk.habits.info_in_fields):
                continue
            if rest and isinstance(row[head], dict):
                kept.setdefault(head, {}).update({k: v for k, v in row[head].items() if k == rest.partition("/")[0]})
            else:
                kept[head] = row[head]
        return kept

    def rows(
        self,
        request: Request,
        rows: list[dict[str, Any]],
        known: Iterable[str] = (),
        *,
        navigable_only: bool = False,
        aliases: Mapping[str, str] | None = None,
    ) -> Response:
        """A whole small list of rows: filtered, sorted and paged by what they say.

        `known` fields may be unset in all of them; `aliases` are other names that conditions may use.
        """
        chosen = _chosen(query_of(request), rows, known, aliases or {})
        return self.page(request, [_Row(one) for one in chosen], lambda one: one.row, navigable_only=navigable_only)

    def _link(self, request: Request, rel: str, **changes: int) -> str:
        url = request.url
        names = {name.lower() for name in changes}
        items = [(key, value) for key, value in request.query_params.multi_items() if key.lower() not in names]
        origin = self.desk.habits.link_host or f"{url.scheme}://{url.netloc}"
        return f'<{origin}{request.scope["outer_path"]}?{urlencode([*items, *changes.items()])}>; rel="{rel}"'


def listed(path: str, handler: Handler) -> list[Route]:
    """A list and, beside it, its count."""
    return [("GET", path, handler), ("GET", f"{path}/count", handler)]


def _chosen(
    query: Mapping[str, str], rows: list[dict[str, Any]], known: Iterable[str], aliases: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Those rows that the conditions want, in the wanted order.

    Raises:
        Rejected: A condition cannot be read, or names an unknown field.
    """
    getters = _getters(rows, known)
    getters |= {alias: getters[name] for alias, name in aliases.items()}
    test = compiled(parse(query.get("conditions", "")), getters)
    child = _child_test(query.get("childconditions", ""), known)
    return ordered([row for row in rows if test(row) and child(row)], query.get("orderby", ""), getters)


class _Row:
    def __init__(self, row: dict[str, Any]) -> None:
        self.row, self.id = row, row.get("id", 0)


def answer(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, vendor: bool = False
) -> Response:
    """JSON with the headers that real answers have. The media type on the wire is UNVERIFIED."""
    media = f"application/vnd.connectwise.com+json; version={VERSION}" if vendor else "application/json; charset=utf-8"
    own = {"api-current-version": VERSION, "x-cw-request-id": str(uuid.uuid4()), "x-server-name": "SANDBOX-1"}
    return JSONResponse(content, status_code=status, media_type=media, headers={**own, **(headers or {})})


def refused(rejected: Rejected) -> Response:
    """The error envelope; `errors` is absent on a simple error."""
    body: dict[str, Any] = {"code": rejected.code, "message": rejected.message}
    if rejected.errors:
        body["errors"] = rejected.errors
    return answer(body, rejected.status)


def query_of(request: Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.query_params.items()}


def whole_in(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit():
        raise Rejected(400, "InvalidParameter", f"{name} is not a number.")
    return int(text)


async def body_of(request: Request, resource: str) -> dict[str, Any]:
    """The JSON object of a POST.

    Raises:
        Rejected: It is none.
    """
    body = await json_of(request, resource)
    if not isinstance(body, dict):
        raise Rejected(400, "InvalidObject", f"{resource} object is invalid")
    return body


async def json_of(request: Request, resource: str) -> Any:
    if "json" not in request.headers.get("content-type", ""):
        raise Rejected(415, "UnsupportedMediaType", "The request entity's media type is not supported.")
    try:
        return json.loads(await request.body())
    except ValueError:
        raise Rejected(400, "InvalidObject", f"{resource} object is invalid") from None


def reference_in(body: Mapping[str, Any], name: str, resource: str) -> Any:
    """The id, identifier or name that a reference object gives; None where there is no reference."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(resource, name, f"{name} is not a reference")
    return next((value[key] for key in ("id", "identifier", "name") if value.get(key) is not None), None)


def ordered(records: list[Any], order: str, getters: Mapping[str, Getter]) -> list[Any]:
    """Sorted by `name [asc|desc], …`; by id where nothing is said."""
    keys: list[tuple[Getter, bool]] = []
    for part in filter(None, (piece.strip() for piece in order.split(","))):
        name, _, way = part.partition(" ")
        getter = getters.get(name.lower())
        if getter is None:
            raise unrecognised(name)
        keys.append((getter, way.strip().lower() == "desc"))
    for getter, descending in reversed(keys):
        records = sorted(records, key=_sort_key(getter), reverse=descending)
    return records


def _sort_key(getter: Getter) -> Callable[[Any], Any]:
    def key(record: Any) -> Any:
        value = getter(record)
        return (value is not None, value.lower() if isinstance(value, str) else value)

    return key


def _getters(rows: Iterable[Mapping[str, Any]], known: Iterable[str]) -> dict[str, Getter]:
    """A getter for each path that any row has; dates are read as such."""
    paths = {"id", "lastUpdated", "dateEntered", *known}
    for row in rows:
        paths |= set(_paths(row))
    return {path.lower(): _reader(path) for path in paths}


def _paths(row: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for name, value in row.items():
        if name == "_info":
            continue
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}/")


def _reader(path: str) -> Getter:
    parts = path.split("/")
    if path in ("lastUpdated", "dateEntered"):
        parts = ["_info", path]

    def read(row: Any) -> Any:
        found = row
        for part in parts:
            found = found.get(part) if isinstance(found, dict) else None
        return moment_of(found) if isinstance(found, str) else found

    return read


def _child_test(text: str, known: Iterable[str]) -> Test:
    """`childConditions`: some element of the array fulfils all of it."""
    expression = parse(text)
    if expression is None:
        return lambda _row: True
    arrays = {path.partition("/")[0] for path in paths_in(expression)}
    if len(arrays) != 1:
        raise Rejected(400, "ApiFindCondition", "Child conditions are about one list.")
    array = arrays.pop()
    inner = [path.partition("/")[2] for path in known if path.lower().startswith(f"{array}/")]
    if not inner:
        raise unrecognised(array)
    getters = {f"{array}/{path}".lower(): _reader(path) for path in inner}
    test = compiled(expression, getters)

    def some(row: Any) -> bool:
        name = next((key for key in row if key.lower() == array), array)
        return any(test(element) for element in row.get(name) or ())

    return some
