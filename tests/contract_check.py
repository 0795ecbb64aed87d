"""Checks recorded exchanges against the vendors' OpenAPI descriptions.

The descriptions lie in `../shared/contracts` beside the project and are not part of it; without them `specs_or_skip`
skips with a sentence, and fails where `REQUIRE_ALL=1` says that nothing may be skipped.

An exchange is a mapping with `system`, `method`, `path`, `query`, `request_body`, `status`, `response_body` and
optionally `fault`, as the sandbox's control port answers them at `/control/exchanges`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from sandbox.record import masked

CONTRACTS = Path(__file__).resolve().parents[1].parent / "shared" / "contracts"
FILES = {"halo": "halopsa-openapi.yaml", "connectwise": "connectwise-openapi.yaml", "graph": "graph-openapi.yaml"}
BASES = {"halo": "/api", "graph": "/v1.0"}
"""What stands before every described path; at ConnectWise it changes with the codebase, see `_inner_path`."""

NOT_DESCRIBED = {
    "graph": (
        r"/users/[^/]+/manager",
        r"/users/[^/]+/ownedObjects(/graph\.\w+)?",
        r"/users/[^/]+/transitiveMemberOf/graph\.group",
        r"/users/[^/]+/authentication/methods/[^/]+",
        r"/roleManagement/directory/roleEligibilityScheduleInstances",
        r"/groups",
        # Methods that Microsoft removes through beta only, or perhaps so.
        r"/beta/users/[^/]+/authentication/(hardwareOath|passwordlessMicrosoftAuthenticator)Methods/[^/]+",
        r"/beta/users/[^/]+/authentication/qrCodePinMethod",
    ),
    # Teams, agents and the other name of FieldInfo: public clients use them, the slice has no room for them, nor for
    # priorities ("List of Policy" in the public swagger).
    "halo": (r"/Team(/\d+)?", r"/Agent(/\d+)?", r"/Field(/\d+)?", r"/Priority"),
    "connectwise": (
        r"/login/companyinfo/[^/]+",
        r"/[^/]+/system/callbackkey/index\.rails",
        r"/service/boards/\d+/teams",
        r"/service/(boards(/\d+/\w+)?|priorities|sources|tickets/\d+/(allNotes|timeentries))/count",
        r"/(company/companies|company/contacts(/types)?|system/members|system/userDefinedFields|time/entries)/count",
    ),
}
"""Documented calls that the descriptions leave out; they are let through unchecked."""

CONNECTWISE_EXTRAS = frozenset({"podDescription", "screenDescription"})
"""Real properties of custom field definitions (amp-labs/connectors) that the description lacks."""

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """One described call. `pointer` leads to it inside the description."""

    verb: str
    template: str
    pattern: re.Pattern[str]
    pointer: str
    content: dict[str, Any]
    parameters: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Spec:
    """A loaded description, ready to check with."""

    system: str
    document: dict[str, Any]
    operations: tuple[Operation, ...]
    registry: Registry[Any] = field(repr=False)

    @property
    def uri(self) -> str:
        return f"urn:contract:{self.system}"

    def schema_problems(self, pointer: str, instance: Any) -> list[str]:
        """What is wrong with `instance` according to the schema at `pointer`; formats are not checked.

        HaloPSA's dates are not RFC 3339, whatever its description says.
        """
        validator = OAS30Validator({"$ref": f"{self.uri}#{pointer}"}, registry=self.registry)
        return [f"{_place(error.absolute_path)}: {error.message[:200]}" for error in validator.iter_errors(instance)]

    def look_up(self, pointer: str) -> Any:
        found: Any = self.document
        for part in pointer.strip("/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found


def contracts_are_here() -> bool:
    return all((CONTRACTS / name).is_file() for name in FILES.values())


def specs_or_skip() -> dict[str, Spec]:
    """All descriptions, or a skip that says what is missing (a failure under `REQUIRE_ALL=1`)."""
    if not contracts_are_here():
        sentence = (
            f"The vendors' OpenAPI descriptions are not at {CONTRACTS}, so answers cannot be checked against them."
        )
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return {system: load_spec(system) for system in FILES}


@cache
def load_spec(system: str) -> Spec:
    """Load the description of `halo`, `connectwise` or `graph`."""
    text = (CONTRACTS / FILES[system]).read_bytes()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    if system == "connectwise":
        relax_connectwise(document)
    return make_spec(system, document)


def relax_connectwise(document: dict[str, Any]) -> None:
    """Correct what ConnectWise's description is wrong about, as real answers show.

    Values of custom fields and of patch operations are called objects and are text, flags or numbers; nulls occur where
    none is allowed, though not in what is required.
    """
    for name, schema in document["components"]["schemas"].items():
        for key, described in schema.get("properties", {}).items():
            if name in ("CustomFieldValue", "PatchOperation") and key == "value":
                schema["properties"][key] = {}
            elif key in schema.get("required", ()):
                continue
            elif "$ref" in described:
                schema["properties"][key] = {"anyOf": [described, {"enum": [None]}]}
            else:
                described["nullable"] = True
                if "enum" in described:
                    described["enum"] = [*described["enum"], None]


def make_spec(system: str, document: dict[str, Any]) -> Spec:
    resource = Resource(contents=document, specification=DRAFT4)
    registry: Registry[Any] = Registry().with_resource(f"urn:contract:{system}", resource)
    return Spec(system, document, tuple(_operations(system, document)), registry)


def check_all(specs: Mapping[str, Spec], exchanges: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every violation in these exchanges; systems without a description are passed over."""
    return [
        problem
        for exchange in exchanges
        if exchange["system"] in specs
        for problem in check_exchange(specs[exchange["system"]], exchange)
    ]


def check_exchange(spec: Spec, exchange: Mapping[str, Any]) -> list[str]:
    """Violations of one exchange, request and answer, in words; an empty list is a pass.

    A `$batch` is unfolded and each item checked by itself. A connection that was cut (`status` None) and an answer that
    was spoilt on purpose (`fault` is `not_json` or `status`) have their request checked only. An empty 204 is accepted
    where the description has a body for `2XX`.
    """
    if spec.system == "graph" and exchange["path"].endswith("/$batch"):
        return _check_batch(spec, exchange)
    path = _inner_path(spec, exchange["path"])
    where = f"{exchange['method']} {exchange['path']}"
    # A violation's words quote values, and they end up in a test's report.
    exchange = dict(exchange) | {name: masked(exchange[name]) for name in ("request_body", "response_body")}
    if any(re.fullmatch(pattern, path, re.IGNORECASE) for pattern in NOT_DESCRIBED[spec.system]):
        return []
    operation = _find(spec, exchange["method"], path)
    if isinstance(operation, str):
        # A call that the vendor refuses as unknown needs no description.
        return [] if exchange["status"] in (404, 405) else [f"{where}: {operation}"]
    refused = exchange["status"] is not None and exchange["status"] >= 400
    problems = [] if refused else _request_problems(spec, operation, exchange)
    if exchange["status"] is not None and exchange.get("fault") not in ("not_json", "status"):
        problems += _answer_problems(spec, operation, exchange)
    return [f"{where}: {problem}" for problem in problems]


# -- requests ---------------------------------------------------------------------------------------------------


def _request_problems(spec: Spec, operation: Operation, exchange: Mapping[str, Any]) -> list[str]:
    # The one header that ConnectWise demands of every call.
    wanted = {"clientid"} if spec.system == "connectwise" and "request_headers" in exchange else set()
    problems = [f"header {name!r} is missing" for name in wanted - set(exchange.get("request_headers", ()))]
    for name, value in exchange["query"].items():
        described = operation.parameters.get(name.lower())
        if described is None:
            if name.lower() != "$skiptoken":
                problems.append(f"query parameter {name!r} is not described")
        elif not _fits(value, described.get("schema", {}).get("type")):
            problems.append(f"query parameter {name!r} has the wrong type: {value!r}")
    described_body = operation.content.get("requestBody")
    body = exchange["request_body"]
    if described_body is None:
        return problems if body in (None, {}, "") else [*problems, "a body was sent where none is described"]
    if body is None:
        return [*problems, "the body is missing"] if described_body.get("required") else problems
    pointer, schema = _content(f"{operation.pointer}/requestBody", described_body)
    problems += [f"request body {problem}" for problem in spec.schema_problems(pointer, body)]
    problems += [f"request body has {name!r}, which is not described" for name in _unknown(spec, schema, body)]
    return problems


def _fits(text: str, kind: str | None) -> bool:
    if kind == "integer":
        return bool(re.fullmatch(r"-?\d+", text))
    if kind == "boolean":
        return text.lower() in ("true", "false", "1", "0")
    return True


# -- answers ----------------------------------------------------------------------------------------------------


def _answer_problems(spec: Spec, operation: Operation, exchange: Mapping[str, Any]) -> list[str]:
    status, body = exchange["status"], exchange["response_body"]
    answers = operation.content["responses"]
    if spec.system == "connectwise":
        if status >= 400:
            return _envelope_problems(status, body)
        # A created callback was seen with 200, too. Source: amp-labs/connectors, read 2026-11-22.
        status = 201 if status == 200 and "201" in answers else status
    key = next((k for k in (str(status), f"{str(status)[0]}XX", "default") if k in answers), None)
    if key is None:
        # HaloPSA answers 404 for an unknown record on any route, which its description says for some only.
        return [] if status == 404 else [f"status {status} is not described"]
    answer, pointer = answers[key], f"{operation.pointer}/responses/{key}"
    if "$ref" in answer:
        pointer = answer["$ref"].removeprefix("#")
        answer = spec.look_up(pointer)
    if not answer.get("content") or (status == 204 and body is None):
        return []
    if body is None:
        return [f"answer {status} has no body"]
    pointer, schema = _content(pointer, answer)
    problems = [f"answer {status} {problem}" for problem in spec.schema_problems(pointer, body)]
    # An error's inner part is the service's own, says the description.
    if spec.system == "connectwise":
        if any(name.lower() == "fields" for name in exchange["query"]):
            # A projection leaves out what was not asked for.
            problems = [problem for problem in problems if "is a required property" not in problem]
        unknown = set(_unknown(spec, schema, body)) - CONNECTWISE_EXTRAS
        problems += [f"answer {status} has {name!r}, which is not described" for name in sorted(unknown)]
    if spec.system == "graph" and status < 400:
        problems += [f"answer {status} has {name!r}, which is not described" for name in _unknown(spec, schema, body)]
        problems += [f"answer {status} {problem}" for problem in _typed_problems(spec, body)]
    return problems


def _envelope_problems(status: int, body: Any) -> list[str]:
    """ConnectWise's errors, which its description leaves out; a 429 has a shape of its own (Developer Guide)."""
    if status == 404 and isinstance(body, str):
        return []  # the web server's own page, behind a codebase that is no more
    wanted = {"error", "message"} if status == 429 else {"code", "message"}
    if not isinstance(body, dict) or not wanted <= set(body) or not all(isinstance(body[key], str) for key in wanted):
        return [f"answer {status} is not an error with {' and '.join(sorted(wanted))}"]
    rows = body.get("errors") or []
    complete = all(isinstance(row, dict) and {"code", "message"} <= set(row) for row in rows)
    return [] if complete else [f"answer {status} has an inner error without code and message"]


def _typed_problems(spec: Spec, body: Any) -> Iterator[str]:
    """Check every object that names its type against that type's own schema."""
    if isinstance(body, dict):
        name = str(body.get("@odata.type", "")).removeprefix("#")
        if name in spec.document["components"]["schemas"]:
            yield from spec.schema_problems(f"/components/schemas/{name}", body)
        for value in body.values():
            yield from _typed_problems(spec, value)
    elif isinstance(body, list):
        for item in body:
            yield from _typed_problems(spec, item)


def _unknown(spec: Spec, schema: dict[str, Any], body: Any) -> Iterator[str]:
    """Names of properties that a closed reading of the schema does not have; case does not matter to Graph."""
    if isinstance(body, list):
        inner = _resolved(spec, schema).get("items", {})
        for item in body:
            yield from _unknown(spec, inner, item)
    if not isinstance(body, dict):
        return
    typed = str(body.get("@odata.type", "")).removeprefix("#")
    if typed in spec.document["components"]["schemas"]:
        schema = {"$ref": f"#/components/schemas/{typed}"}
    known = _properties(spec, schema)
    if not known:
        return
    by_lower = {name.lower(): name for name in known}
    for name, value in body.items():
        if name.startswith("@odata."):
            continue
        found = by_lower.get(name.lower()) if spec.system == "graph" else (name if name in known else None)
        if found is None:
            yield name
        else:
            yield from _unknown(spec, known[found], value)


def _properties(spec: Spec, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    schema = _resolved(spec, schema)
    properties = dict(schema.get("properties", {}))
    for part in [*schema.get("allOf", []), *schema.get("anyOf", []), *schema.get("oneOf", [])]:
        properties |= _properties(spec, part)
    return properties


def _resolved(spec: Spec, schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = spec.look_up(schema["$ref"].removeprefix("#"))
    return schema


def _content(pointer: str, described: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    media_type = next(iter(described["content"]))
    escaped = media_type.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/content/{escaped}/schema", described["content"][media_type]["schema"]


# -- batches ----------------------------------------------------------------------------------------------------


def _check_batch(spec: Spec, exchange: Mapping[str, Any]) -> list[str]:
    """Unfold a batch. Source: learn.microsoft.com/graph/json-batching, read 2026-11-22."""
    where = f"{exchange['method']} {exchange['path']}"
    requests = (exchange["request_body"] or {}).get("requests")
    if exchange["method"] != "POST" or not isinstance(requests, list) or not 1 <= len(requests) <= 20:
        return [] if exchange["status"] == 400 else [f"{where}: a batch is a POST of 1 to 20 requests"]
    answers = {}
    if exchange["status"] == 200 and exchange.get("fault") not in ("not_json", "status"):
        answers = {answer["id"]: answer for answer in exchange["response_body"]["responses"]}
        if set(answers) != {item["id"] for item in requests}:
            return [f"{where}: the answers' ids are not the requests' ids"]
    problems = []
    for item in requests:
        if item.get("body") is not None and "content-type" not in {name.lower() for name in item.get("headers") or {}}:
            problems.append(f"{where}: item {item['id']} has a body and no Content-Type")
        path, _, query = item["url"].partition("?")
        answer = answers.get(item["id"])
        single = {
            "system": spec.system,
            "method": item["method"],
            "path": f"{BASES[spec.system]}{unquote(path)}",
            "query": dict(parse_qsl(query, keep_blank_values=True)),
            "request_body": item.get("body"),
            "status": answer["status"] if answer else None,
            "response_body": answer.get("body") if answer else None,
        }
        problems += [f"{where} item {item['id']}: {problem}" for problem in check_exchange(spec, single)]
    return problems


# -- finding operations -----------------------------------------------------------------------------------------


def _operations(system: str, document: dict[str, Any]) -> Iterator[Operation]:
    flags = re.IGNORECASE if system == "halo" else 0
    for template, item in document["paths"].items():
        pattern = re.compile("".join(r"[^/]+" if p.startswith("{") else re.escape(p) for p in _pieces(template)), flags)
        for verb in _METHODS:
            if verb in item:
                pointer = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{verb}"
                described = [*item.get("parameters", []), *item[verb].get("parameters", [])]
                parameters = {}
                for parameter in described:
                    found = parameter
                    if "$ref" in parameter:
                        found = document["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
                    if found["in"] == "query":
                        parameters[found["name"].lower()] = found
                yield Operation(verb, template, pattern, pointer, item[verb], parameters)


def _pieces(template: str) -> list[str]:
    return [piece for piece in re.split(r"(\{[^}]+\})", template) if piece]


def _find(spec: Spec, method: str, path: str) -> Operation | str:
    matching = [operation for operation in spec.operations if operation.pattern.fullmatch(path)]
    # A literal path wins over one with a placeholder: /Agent/me over /Agent/{id}.
    matching.sort(key=lambda operation: operation.template.count("{"))
    for operation in matching:
        if operation.verb == method.lower():
            return operation
    return "the verb is not described for this path" if matching else "the path is not described"


def _inner_path(spec: Spec, path: str) -> str:
    if spec.system == "connectwise":
        # Answers link to addresses with doubled slashes, and clients follow them.
        inner = re.sub("/{2,}", "/", path)
        return re.sub(r"^/[^/]+/apis/3\.0(?=/)", "", inner).rstrip("/")
    base = BASES[spec.system]
    inner = path[len(base) :] if path.lower().startswith(base + "/") else path
    # Both spellings of a cast are accepted; the description has the short one.
    return inner.replace("/microsoft.graph.", "/graph.").rstrip("/")


def _place(path: Iterable[Any]) -> str:
    return "at " + ("/".join(str(part) for part in path) or "the top")
