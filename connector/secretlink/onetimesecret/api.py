"""The calls to OneTimeSecret, in API v2 and v1, and what its answers hold.

Identifiers of secrets and receipts are `Secret` here, and no message names an address with one in it. Bodies are never
repeated: an answer about a living secret holds its address.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn

from connector.core.secret import Secret
from connector.errors import PermanentError, TemporaryError
from connector.http import Answer, Http
from connector.secretlink.foreign import ForeignCalls
from connector.secretlink.telling import LATEST

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_GONE: Final = (404, 410)


class Stage(StrEnum):
    """How far a secret is."""

    ALIVE = "alive"
    REVEALED = "revealed"
    BURNED = "burned"
    EXPIRED = "expired"
    UNCLEAR = "unclear"
    """A word that is not known here, or that its service lost the secret (`orphaned`)."""


# By the words of 0.26 and of those before: `viewed` and `previewed` say that the page was looked at.
_STAGES: Final = {
    "new": Stage.ALIVE,
    "shared": Stage.ALIVE,
    "viewed": Stage.ALIVE,
    "previewed": Stage.ALIVE,
    "revealed": Stage.REVEALED,
    "received": Stage.REVEALED,
    "burned": Stage.BURNED,
    "expired": Stage.EXPIRED,
}


@dataclass(frozen=True)
class Receipt:
    """What became of a secret.

    Attributes:
        id: Leads to the secret while that is alive.
        ended_at: When it was revealed or burned; `None` where the service does not say, or it was neither.
    """

    id: Secret
    stage: Stage
    ended_at: datetime | None


@dataclass(frozen=True)
class Concealed:
    """A new secret.

    Attributes:
        lifetime: As the service says; it clamps what it is asked for without a word.
    """

    secret_id: Secret
    receipt_id: Secret
    lifetime: timedelta


class SecretApi:
    """One OneTimeSecret with one account. Safe to use from several threads: it keeps nothing but the API's version."""

    def __init__(self, *, http: Http, url: str, username: str, token: Secret) -> None:
        """Nothing is sent yet.

        Args:
            url: Where it is, without a slash at its end.
            username: The account's address, or its id.
            token: The account's API token.
        """
        credentials = base64.b64encode(f"{username}:{token.reveal()}".encode()).decode("ascii")
        self._calls = ForeignCalls(
            http=http,
            url=url,
            authorization=Secret(f"Basic {credentials}"),
            refused="OneTimeSecret does not accept links.username and links.token, or the account may not use the API. "
            "Make a token in the account's settings there, then run: connector check",
            forget=self.forget,
        )
        self._version = 0

    def version(self) -> int:
        """2 or 1; asked once, and again after `forget`. The account is proved on the way.

        A secret may be concealed without an account, and so perhaps with a wrong one, too: it would be nobody's, in no
        list. So the account is asked for something that needs it before anything is made. Source: `auth=` in
        `apps/api/v2/routes.txt`, read 2026-11-22.

        Raises:
            TemporaryError, AuthenticationError (scope `links`).
        """
        if not self._version:
            found = 2
            answer = self._calls.call("GET", "/api/v2/receipt/recent", expect=(200, *_GONE))
            if answer.status in _GONE:
                found = 1
                self._calls.call("GET", "/api/v1/private/recent")
            self._version = found
        return self._version

    def forget(self) -> None:
        """It may have been upgraded or replaced: ask for the version anew."""
        self._version = 0

    def conceal(self, content: Secret, lifetime: timedelta) -> Concealed:
        """Make a secret, once: after an unclear failure there may be one, whose address nobody has.

        Raises:
            PermanentError: The service does not take it.
            TemporaryError, AuthenticationError (scope `links`).
        """
        seconds = int(lifetime.total_seconds())
        refusals = (400, 422)
        expect = (200, 201, *refusals)
        if self.version() == 2:
            # No passphrase, not even an empty one: the key alone would make one.
            # Source: `process_passphrase` of `base_secret_action.rb`, read 2026-11-22.
            wish = {"secret": {"secret": content.reveal(), "ttl": seconds}}
            answer = self._calls.call("POST", "/api/v2/secret/conceal", expect=expect, once=True, json=wish)
        else:
            form = {"secret": content.reveal(), "ttl": str(seconds)}
            answer = self._calls.call("POST", "/api/v1/share", expect=expect, once=True, form=form)
        if answer.status in refusals:
            self.forget()
            raise PermanentError(
                f"OneTimeSecret does not take the secret ({answer.status}). See whether the account may use the API "
                "and whether a passphrase is required there, then run: connector check"
            )
        said = _mapping(answer.json(), answer)
        if self.version() == 2:
            record = _mapping(said.get("record"), answer)
            receipt = _mapping(record.get("receipt") or record.get("metadata"), answer)
            secret = _mapping(record.get("secret"), answer)
            ids = _first(secret, "identifier", "key"), _first(receipt, "identifier", "key")
            lifetimes = _first(receipt, "secret_ttl"), _first(secret, "secret_ttl", "lifespan")
        else:
            ids = said.get("secret_key"), said.get("metadata_key")
            lifetimes = said.get("secret_ttl"), said.get("ttl")
        try:
            lived = [_number(value) for value in lifetimes if value is not None]
        except ValueError:
            lived = []
        secret_id, receipt_id = (_identifier(value, answer) for value in ids)
        # Where it does not say how long, that is longer than wanted.
        return Concealed(secret_id, receipt_id, timedelta(seconds=max(lived)) if lived else timedelta.max)

    def receipt(self, receipt_id: Secret) -> Receipt | None:
        """What became of a secret; `None` when its receipt is gone.

        Who says 404 may be a gateway before a service that is away, so it counts only if the account's list does not
        show the secret alive.

        Raises:
            TemporaryError: It is not shown, though it is alive; it is away.
            PermanentError, AuthenticationError (scope `links`).
        """
        before = "/api/v2/receipt/" if self.version() == 2 else "/api/v1/private/"
        answer = self._calls.call("GET", (before, receipt_id, ""), expect=(200, *_GONE))
        if answer.status in _GONE:
            listed = next((one for one in self.recent() if one.id == receipt_id), None)
            if listed is not None and listed.stage in (Stage.ALIVE, Stage.UNCLEAR):
                self.forget()
                raise TemporaryError(
                    f"OneTimeSecret says {answer.status} about a secret that its list shows alive. Something may be "
                    "answering in its place: if that lasts, check links.url. It is tried again by itself."
                )
            return listed
        said = _mapping(answer.json(), answer)
        return _receipt(_mapping(said.get("record"), answer) if self.version() == 2 else said, receipt_id)

    def recent(self) -> Sequence[Receipt]:
        """The account's receipts of the last 30 days."""
        if self.version() == 2:
            answer = self._calls.call("GET", "/api/v2/receipt/recent")
            records = _mapping(answer.json(), answer).get("records")
        else:
            answer = self._calls.call("GET", "/api/v1/private/recent")
            records = answer.json()
        if not isinstance(records, list):
            _unknown_shape(answer)
        found: list[Receipt] = []
        for item in records:
            record = _mapping(item, answer)
            named = _first(record, "identifier", "key", "metadata_key")
            if isinstance(named, str) and _IDENTIFIER.fullmatch(named):
                found.append(_receipt(record, Secret(named)))
        return found

    def burn(self, receipt_id: Secret) -> None:
        """Make a secret dead. A repeat, or one that is gone, is fine.

        Raises:
            PermanentError: It is alive still.
            TemporaryError, AuthenticationError (scope `links`).
        """
        if self.version() == 2:
            self._calls.call(
                "POST", ("/api/v2/receipt/", receipt_id, "/burn"), expect=(200, *_GONE, 422), repeatable=True,
                json={"continue": "true"},
            )  # fmt: skip
        else:
            self._calls.call(
                "POST", ("/api/v1/private/", receipt_id, "/burn"), expect=(200, *_GONE, 422), repeatable=True,
                form={"continue": "true"},
            )  # fmt: skip
        # Whatever it answered: what counts is what it says of the secret now.
        left = self.receipt(receipt_id)
        if left is not None and left.stage in (Stage.ALIVE, Stage.UNCLEAR):
            raise PermanentError(
                "OneTimeSecret did not burn one of its secrets. Burn it there by hand, and check that links.username "
                "is the account that made it."
            )


def _receipt(record: Mapping[str, Any], receipt_id: Secret) -> Receipt:
    stage = _STAGES.get(str(record.get("state")), Stage.UNCLEAR)
    for key, reached in (
        ("is_revealed", Stage.REVEALED), ("is_received", Stage.REVEALED), ("is_burned", Stage.BURNED),
        ("is_expired", Stage.EXPIRED),
    ):  # fmt: skip
        # Both say the same; where one of them says that it was seen, it was.
        if _yes(record.get(key)) and stage is not Stage.REVEALED:
            stage = reached
    times = {
        Stage.REVEALED: ("revealed", "received", "updated"), Stage.BURNED: ("burned", "updated")
    }.get(stage, ())  # fmt: skip
    for key in times:
        try:
            moment = _number(record.get(key))
        except ValueError:
            continue
        if moment > 0:
            return Receipt(receipt_id, stage, datetime.fromtimestamp(moment, UTC))
    return Receipt(receipt_id, stage, None)


def _first(record: Mapping[str, Any], *keys: str) -> object:
    return next((record[key] for key in keys if record.get(key) not in (None, "")), None)


def _yes(value: object) -> bool:
    return str(value).lower() in ("true", "1")


def _number(value: object) -> float:
    """A number, or one in a string: v2 announces strings for everything. Source: `apps/api/v2/routes.txt`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no number")
    number = float(value)
    if not 0 <= number < LATEST.timestamp():
        raise ValueError("no time and no length of one")
    return number


def _identifier(value: object, answer: Answer) -> Secret:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        _unknown_shape(answer)
    return Secret(value)


def _mapping(content: object, answer: Answer) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        _unknown_shape(answer)
    return content


def _unknown_shape(answer: Answer) -> NoReturn:
    raise TemporaryError(
        f"OneTimeSecret answered {answer.where} in a shape that is not known here. Something may be answering in its "
        "place: check links.url, and the version there (connector check)."
    )
