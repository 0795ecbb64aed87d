"""Calls to Graph for one tenant, and the translation of its refusals.

Graph is several services behind one address, and their error envelopes differ in case and shape, so no key of one
is relied on. Source: learn.microsoft.com/graph/errors and public reports, read 2026-11-22.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from connector.core.ports import Receipt
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError
from connector.graph.refusals import UNSAFE, GraphError, Meaning, meaning_of, read_error
from connector.graph.signin import SignIn
from connector.graph.tokens import permissions_of
from connector.http import TEMPORARY, Answer, Http, read_retry_after

log = structlog.get_logger(__name__)

BATCH_LIMIT = 20
"""Requests in one $batch. Source: learn.microsoft.com/graph/json-batching, read 2026-11-22."""

OURS_TO_READ = frozenset(range(200, 300)) | (frozenset(range(400, 500)) - TEMPORARY)


@dataclass(frozen=True)
class Reply:
    """An answer that is not a passing trouble. `body` is the parsed JSON, `None` where there is none."""

    status: int
    body: Any = field(default=None, repr=False)
    error: GraphError | None = None
    receipt: Receipt = field(default_factory=lambda: Receipt(""))

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused_us(self) -> bool:
        """Refused because of who we are, not because of what was asked."""
        return self.status in (401, 403)

    @property
    def meaning(self) -> Meaning:
        """What it comes to; for a reply that is not fine."""
        return meaning_of(self.status, self.error)


@dataclass(frozen=True)
class Ask:
    """One request inside a $batch. It must be harmless to repeat.

    Attributes:
        path: Behind `/v1.0`, with its query, percent-encoded.
        after: The id of another request of the same batch that must have succeeded first.
        needed: A refusal of it is worth a new token; `False` where we can do without.
        hint: Trouble of its own (a throttle, a 5xx, an answer left out) does not fail the whole either.
    """

    id: str
    path: str
    method: str = "GET"
    body: object | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    needed: bool = True
    hint: bool = False

    def as_json(self) -> dict[str, object]:
        item: dict[str, object] = {"id": self.id, "method": self.method, "url": self.path}
        headers = dict(self.headers)
        if self.body is not None:
            headers["Content-Type"] = "application/json"  # a body without it is refused
            item["body"] = self.body
        if headers:
            item["headers"] = headers
        if self.after:
            item["dependsOn"] = [self.after]
        return item


class GraphClient:
    """Graph for one tenant. Safe to share between threads.

    Args:
        url: Graph's address without version: `https://graph.microsoft.com`.
        app: The section of the configuration that registers the app, for messages: `graph`, `graph.mfa`.
    """

    def __init__(self, *, url: str, sign_in: SignIn, http: Http, app: str = "graph") -> None:
        self._app = app
        self._url = url
        self._sign_in = sign_in
        self._http = http
        self.place = sign_in.place
        self.scope = sign_in.scope

    def call(
        self,
        method: str,
        path: str,
        *,
        json: object | None = None,
        version: str = "v1.0",
        repeatable: bool | None = None,
        timeout: timedelta | None = None,
    ) -> Reply:
        """One request. A refusal with 401 or 403 is repeated once with a new token: such a call changed nothing.

        Raises:
            TemporaryError: No answer, 408, 429, 5xx, or an answer that is not JSON.
            AuthenticationError: The app cannot sign in.
        """
        for renewable in (True, False):
            token = self._sign_in.token()
            reply = self._send(method, path, token, json=json, version=version, repeatable=repeatable, timeout=timeout)
            if not (renewable and reply.refused_us and self._sign_in.renew(token)):
                return reply
        raise AssertionError("the second round always returns")

    def batch(self, asks: Sequence[Ask]) -> dict[str, Reply]:
        """Several requests in one (in as few as can be when there are more than 20).

        Returns:
            A reply to each ask, by its id.

        Raises:
            TemporaryError: One of them, hints excepted, was throttled, failed or left out; no answer is used then.
            AuthenticationError, PermanentError: The batch as a whole was refused.
        """
        replies: dict[str, Reply] = {}
        for start in range(0, len(asks), BATCH_LIMIT):
            replies.update(self._batch(asks[start : start + BATCH_LIMIT]))
        return replies

    def _batch(self, asks: Sequence[Ask]) -> dict[str, Reply]:
        for renewable in (True, False):
            token = self._sign_in.token()
            requests = [ask.as_json() for ask in asks]
            whole = self._send("POST", "/$batch", token, json={"requests": requests}, repeatable=True)
            if not whole.fine:
                if renewable and whole.refused_us and self._sign_in.renew(token):
                    continue
                raise self.refusal(whole, "the look-up of an account")
            try:
                replies = _take_apart(whole, asks)
            except _Throttled as throttled:
                if throttled.retry_after is not None:
                    self._http.hold_off(throttled.retry_after)  # the pause stands inside a body, where Http cannot see
                raise
            if not (renewable and any(replies[ask.id].refused_us for ask in asks if ask.needed)
                    and self._sign_in.renew(token)):  # fmt: skip
                return replies
        raise AssertionError("the second round always returns")

    def ready(self) -> None:
        """Whether a call would be sent now; sends nothing.

        Raises:
            TemporaryError: Microsoft has asked for a pause in this tenant.
        """
        self._http.ready("the next call")

    def permissions(self) -> frozenset[str] | None:
        """What this tenant has consented to, by the present token; `None` when it cannot be looked into.

        Raises:
            AuthenticationError, TemporaryError: There is no token.
        """
        return permissions_of(self._sign_in.token())

    def refusal(self, reply: Reply, doing: str, *, needs: Iterable[str] = ()) -> ConnectorError:
        """What to raise for a reply that is not fine.

        A 403 reads the same for a missing permission, a missing directory role and a target that the app may not
        touch (learn.microsoft.com/graph/api/resources/users, read 2026-11-22). The token's permissions tell the
        first from the others: it stops the whole tenant, the others concern this one account as far as anybody can
        tell, and one account must not stop a tenant.

        Args:
            doing: What was refused: `the password of <id>`.
            needs: Permissions of which one would be enough.
        """
        name = f" {reply.error.code}" if reply.error and reply.error.code else ""
        seen = f"; request-id {reply.receipt.theirs}" if reply.receipt.theirs else ""
        what = f"Microsoft Graph refused {doing} in {self.place} ({reply.status}{name}{seen})"
        match reply.meaning:
            case Meaning.SIGNED_OUT:
                return AuthenticationError(f"{what}. Check the app's sign-in with: connector check", scope=self.scope)
            case Meaning.BLOCKED_BY_POLICY:
                return AuthenticationError(
                    f"{what}: the customer's Conditional Access blocks the app. Have the customer's admin exclude its "
                    "service principal or allow this address, then run: connector check",
                    scope=self.scope,
                )
            case Meaning.NEEDS_LICENCE:
                return PermanentError(f"{what}: the tenant has no licence for it. Do this one by hand.")
            case Meaning.FORBIDDEN | Meaning.PERMISSION_MISSING:
                return self._forbidden(what, tuple(needs))
        return PermanentError(f"{what}. Look the code up in Microsoft's documentation, and do this one by hand.")

    def _forbidden(self, what: str, wanted: tuple[str, ...]) -> ConnectorError:
        held = self._held()
        if wanted and held is not None and held & set(wanted):
            return PermanentError(
                f"{what}, although the app has the permission. Either this account is protected in a way that the "
                "app cannot see, or the app also needs the Entra role User Administrator in that tenant: look at "
                "the account, give the role, then retry the ticket."
            )
        what_to_grant = f"the application permission {wanted[0]}" if wanted else "the permissions"
        grant = f"Grant {what_to_grant} to the app of {self._app}"
        return AuthenticationError(
            f"{what}. {grant} and have the customer's admin consent again; where it is granted, give the app the "
            "Entra role User Administrator in that tenant. Then run: connector check",
            scope=self.scope,
        )

    def _held(self) -> frozenset[str] | None:
        try:
            return self.permissions()
        except (AuthenticationError, TemporaryError):
            return None

    def _send(self, method: str, path: str, token: Secret, *, json: object | None, version: str = "v1.0",
              repeatable: bool | None = None, timeout: timedelta | None = None) -> Reply:  # fmt: skip
        reference = str(uuid.uuid4())
        answer = self._http.call(
            method,
            f"{self._url}/{version}{path}",
            expect=OURS_TO_READ,
            repeatable=repeatable,
            headers={"Authorization": f"Bearer {token.reveal()}", "client-request-id": reference},
            json=json,
            timeout=timeout,
        )
        if answer.status >= 400:
            log.debug("graph_refused", tenant=self.scope, where=answer.where, status=answer.status,
                     client_request_id=reference, request_id=answer.headers.get("request-id", ""))  # fmt: skip
        return self._reply(answer, reference)

    def _reply(self, answer: Answer, reference: str) -> Reply:
        receipt = Receipt(reference, UNSAFE.sub("", answer.headers.get("request-id", ""))[:64])
        if answer.status >= 400:
            return Reply(answer.status, error=read_error(_parsed(answer.body)), receipt=receipt)
        if answer.status == 204 or not answer.body:
            return Reply(answer.status, receipt=receipt)
        return Reply(answer.status, body=answer.json(), receipt=receipt)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


class _Throttled(TemporaryError):
    """An item of a batch was throttled, and so would the next one be."""


def _take_apart(whole: Reply, asks: Sequence[Ask]) -> dict[str, Reply]:
    """Answers come in any order, and each with its own status: the whole is 200 even when every one failed."""
    rows = whole.body.get("responses") if isinstance(whole.body, Mapping) else None
    answers = {
        str(row["id"]).casefold(): row
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, Mapping) and "id" in row
    }
    return {ask.id: _one(ask, answers.get(ask.id.casefold()), whole.receipt) for ask in asks}


def _one(ask: Ask, row: Mapping[str, Any] | None, receipt: Receipt) -> Reply:
    status = row.get("status") if row is not None else None
    if row is None or not isinstance(status, int) or isinstance(status, bool):
        if ask.hint:
            return Reply(503, receipt=receipt)
        raise TemporaryError(
            f"Microsoft Graph left the answer to {ask.id} out of a batch. It is tried again by itself."
        )
    trouble = status in TEMPORARY or status == 424 or status >= 500
    if trouble and not ask.hint:
        failure = _Throttled if status == 429 else TemporaryError
        headers = row.get("headers")
        waits = [str(value) for name, value in headers.items() if str(name).casefold() == "retry-after"] \
            if isinstance(headers, Mapping) else []  # fmt: skip
        raise failure(
            f"Microsoft Graph answered {status} to {ask.id} in a batch. It is tried again by itself.",
            retry_after=read_retry_after(waits[0] if waits else None),
        )
    if status < 400:
        return Reply(status, body=row.get("body"), receipt=receipt)
    return Reply(status, error=read_error(row.get("body")), receipt=receipt)
