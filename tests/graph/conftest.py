"""The border for the odd cases; every request is held against Microsoft's description, where that is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from tests.contract_check import check_exchange, contracts_are_here, load_spec
from tests.graph.border import Border, Call

# Documented by Microsoft, but not in the part of the description that lies beside the project.
NOT_DESCRIBED = ("/groups", "/users/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee/authentication/hardwareOathMethods/")


@pytest.fixture
def border() -> Iterator[Border]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        border = Border(mock)
        yield border
    if contracts_are_here():
        spec = load_spec("graph")
        problems = [problem for call in border.calls for problem in check_exchange(spec, as_exchange(call))]
        assert problems == []


def as_exchange(call: Call) -> dict[str, object]:
    described = not call.path.startswith(NOT_DESCRIBED)
    path = f"/v1.0{call.path}" if call.outer.endswith("/$batch") else call.outer.replace("/beta/", "/v1.0/", 1)
    return {
        "system": "graph",
        "method": call.method,
        "path": path,
        "query": call.query,
        "request_body": call.body,
        "status": None if described else 404,  # 404: no description is asked for
        "response_body": None,
        "fault": None if described else "status",
    }
