"""JSON batching: up to 20 calls in one request, answered in any order, each with its own status.

Source: learn.microsoft.com/graph/json-batching, read 2026-11-22. The outer status is 200 even when every item failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.graph_call import Caller, GraphError, Reply
from sandbox.odd_answers import odd_item
from sandbox.record import template_of

if TYPE_CHECKING:
    from sandbox.graph import Graph

MOST_ITEMS = 20


def run(graph: Graph, body: Any, *, caller: Caller) -> Reply:
    """Answer a batch. Items are carried out in order; the answers come shuffled by the world's seed.

    Raises:
        GraphError: The batch itself is malformed; nothing was carried out.
    """
    items = _items(body)
    answers: dict[str, dict[str, Any]] = {}
    spoilt = False
    for item in items:
        number = item["id"].lower()
        failed = [
            one for one in item.get("dependsOn") or [] if answers.get(one.lower(), {"status": 424})["status"] >= 400
        ]
        if failed:
            error = GraphError(424, "FailedDependency", "A dependency of this request failed.")
            answers[number] = _answer(item, graph.error_reply(error))
        else:
            reply = _carry_out(graph, item, caller)
            spoilt = spoilt or reply.spoilt
            answers[number] = _answer(item, reply)
    shuffled = list(answers.values())
    graph.shuffle.shuffle(shuffled)
    return Reply(200, {"responses": shuffled}, spoilt=spoilt)


def _carry_out(graph: Graph, item: dict[str, Any], caller: Caller) -> Reply:
    method, url = item["method"].upper(), item["url"]
    path = url.partition("?")[0]
    headers = {key.lower(): value for key, value in (item.get("headers") or {}).items()}
    graph.world.record.batch_items[f"{method} {template_of(path)}"] += 1
    fault = graph.world.faults.next_for(
        "graph", f"{method} /v1.0{path} in $batch", chance=False, tenant=caller.tenant.names
    )
    if fault is not None and fault.kind == "status":
        if fault.shape is not None:
            return Reply(fault.status, odd_item(fault.shape, fault.status), fault.headers, spoilt=True)
        return _failed(graph, fault.status, fault.headers)
    if graph.world.faults.chance("a batch item is throttled", 0.01):
        return _failed(graph, 429, {"Retry-After": "1"})
    if item.get("body") is not None and "content-type" not in headers:
        message = "Write request id : " + item["id"] + " does not contain Content-Type header or body."
        return graph.error_reply(GraphError(400, "BadRequest", message))
    return graph.answer(method, url, headers, item.get("body"), caller)


def _failed(graph: Graph, status: int, headers: dict[str, str]) -> Reply:
    code = "TooManyRequests" if status == 429 else "serviceUnavailable"
    return graph.error_reply(GraphError(status, code, "The sandbox was told to fail this call.", headers))


def _answer(item: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """An item's answer; one without content has no body at all."""
    answer: dict[str, Any] = {"id": item["id"], "status": reply.status, "headers": dict(reply.headers or {})}
    if reply.body is not None:
        answer["headers"]["Content-Type"] = "application/json"
        answer["body"] = reply.body
    return answer


def _items(body: Any) -> list[dict[str, Any]]:
    items = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise GraphError(400, "BadRequest", "Invalid batch payload format.")
    if len(items) > MOST_ITEMS:
        raise GraphError(400, "BadRequest", f"Number of batch request steps exceeds the maximum value of {MOST_ITEMS}.")
    for item in items:
        fits = isinstance(item, dict) and all(isinstance(item.get(key), str) for key in ("id", "method", "url"))
        if not fits or not item["url"].startswith("/"):
            raise GraphError(400, "BadRequest", "Invalid batch payload format.")
    ids = [item["id"].lower() for item in items]
    if len(set(ids)) != len(ids):
        raise GraphError(400, "BadRequest", "Request Id(s) are not unique.")
    return items
