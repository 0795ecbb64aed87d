"""Recorded answers of a real Request Tracker: how they are scrubbed, kept and played.

Only what is named here survives a recording: everything else is dropped, so that a new header or field of a later RT
cannot bring anything along. Tokens travel in a header that is not named. Addresses and names are made up by the seed
of the test server.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import vcr
from vcr.cassette import Cassette
from vcr.request import Request

from tests.psa.requesttracker_oddities import BRACED_FIELD, ODD_FIELD
from tests.psa.scrub import AllowList, Held, JsonFiles, Scrubber

FOLDER = Path(__file__).with_name("cassettes") / "requesttracker"
RECORDED_URL = "http://rt.example"
REST = "/REST/2.0/"

REQUEST_HEADERS = frozenset({"content-type", "accept", "if-match"})
RESPONSE_HEADERS = frozenset({"content-type", "etag", "location"})
PARAMETERS = re.compile(r"query|fields(\[\w+\])?|per_page|page|orderby|order")
SEGMENTS = re.compile(
    r"rt|tickets?|bulk|transactions|history|attachments|comment|correspond|queues?|all|group|user|[0-9]+|[a-z]+(\.[a-z]+)*"
    r"|svc-reset(-cph)?|___Approvals|[A-Za-z]+%20[A-Za-z]+"
)
SENT = frozenset(
    {"Queue", "Subject", "Requestor", "CustomFields", "Request type", "Target user", "Reason", "Type", "Status"}
    | {"DependedOnBy", "DependsOn", "MergeInto", "Content", "ContentType", "Disabled", "Owner", "TimeTaken"}
    | {"Priority", "Lifecycle"}
    | {ODD_FIELD, BRACED_FIELD}
)
RECEIVED = frozenset(
    {"id", "type", "ref", "name", "values", "items", "count", "total", "pages", "page", "per_page", "message"}
    | {"Version", "_hyperlinks", "Name", "RealName", "EmailAddress", "Subject", "Type", "Status", "Queue", "Created"}
    | {"LastUpdated", "LastUpdatedBy", "Creator", "Requestor", "CustomFields", "Owner", "AdminCc", "Members"}
    | {"ObjectId", "Field", "OldValue", "NewValue", "Data", "TransactionId", "ContentType", "Content", "Lifecycle"}
    | {"TicketCustomFields", "TimeTaken", "TimeWorked", "Disabled", "Privileged", "Priority", "from", "to"}
)
LINKS = frozenset({"depends-on", "depended-on-by", "comment", "correspond", "lifecycle"})
LOCATION = re.compile(r"\Ahttps?://[^/]+|\?.*\Z")
MESSAGE_ID = re.compile(r"rt-5[^@\s<>]*@rt\.example")
LOOKS_LIKE_A_TOKEN = re.compile(r"\b\d+-\d+-[0-9a-f]{32}\b|Bearer|token [0-9]")
"""RT's tokens: `1-14-` and 32 hexadecimal digits."""
LAST_LOOK = Scrubber(
    AllowList(
        host=RECORDED_URL, keys=SENT | RECEIVED, plain=frozenset(), segments=frozenset(), parameters=frozenset(),
        made_up=frozenset({"contoso.com"}),
    )
)  # fmt: skip


def scrub_request(request: Request) -> Request:
    """The request as it is kept and compared: the server's address replaced, only named parts left."""
    parts = urlsplit(request.uri)
    segments = parts.path.removeprefix(REST).split("/")
    if not parts.path.startswith(REST) or not all(SEGMENTS.fullmatch(segment) for segment in segments):
        raise ValueError("a call to an address that is not known here is not recorded: add it to SEGMENTS")
    query = [(name, value) for name, value in parse_qsl(parts.query) if PARAMETERS.fullmatch(name)]
    scrubbed = copy.copy(request)
    scrubbed.uri = RECORDED_URL + parts.path + (f"?{urlencode(query)}" if query else "")
    scrubbed.headers = {name: value for name, value in request.headers.items() if name.lower() in REQUEST_HEADERS}
    scrubbed.body = _scrub_body(request.body, SENT) if request.body else None
    return scrubbed


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """The answer as it is kept: status, two headers, and the named fields of a JSON body. Another body is dropped."""
    return {
        "status": {"code": response["status"]["code"], "message": ""},
        "headers": {
            name: [LOCATION.sub("", value) for value in values]
            for name, values in response["headers"].items()
            if name.lower() in RESPONSE_HEADERS
        },
        "body": {"string": _scrub_body(response["body"]["string"], RECEIVED)},
    }


def _scrub_body(body: bytes | str, allowed: frozenset[str]) -> bytes:
    try:
        content = json.loads(body)
    except ValueError:
        return b""
    return json.dumps(_scrub(content, allowed), sort_keys=True).encode()


def _scrub(value: Any, allowed: frozenset[str]) -> Any:
    if isinstance(value, dict):
        kept = {key: _scrub(inner, allowed) for key, inner in value.items() if key in allowed}
        if "_hyperlinks" in kept:
            kept["_hyperlinks"] = [link for link in kept["_hyperlinks"] if link.get("ref") in LINKS]
        return kept
    if isinstance(value, list):
        return [_scrub(inner, allowed) for inner in value]
    return MESSAGE_ID.sub("rt-message@rt.example", value) if isinstance(value, str) else value


def look_once_more(text: str) -> None:
    """Stop a recording in which something is left that looks like a token or points at somebody.

    Raises:
        ValueError: It is not to be written.
    """
    if LOOKS_LIKE_A_TOKEN.search(text):
        raise ValueError("something that looks like a token is left in this recording: it was not written")
    LAST_LOOK.look_once_more(text)


def path_of(kind: str, test: str) -> Path:
    """The cassette of a test; `kind` keeps tests of the same name apart."""
    return FOLDER / kind / (re.sub(r"[^a-z0-9]+", "_", test.lower()).strip("_") + ".json")


@contextmanager
def cassette(path: Path, *, record: bool) -> Iterator[Cassette]:
    """Play a cassette, each answer once and in order; or record it anew."""
    player = vcr.VCR(
        before_record_request=scrub_request,
        before_record_response=scrub_response,
        match_on=("method", "uri", "headers", "body"),
        record_mode=vcr.mode.ALL if record else vcr.mode.NONE,
    )
    held = Held()
    player.register_serializer("json files", JsonFiles)
    player.register_persister(held)
    if record:
        path.unlink(missing_ok=True)
    with player.use_cassette(str(path), serializer="json files") as playing:
        yield playing
    if record and held.text is not None:
        look_once_more(held.text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(held.text, encoding="utf-8")
