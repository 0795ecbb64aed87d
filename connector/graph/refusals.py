"""What Graph's refusals mean: the one table from its status, code and message to our words.

Microsoft's pages advise against branching on messages, but `Request_BadRequest` stands for a banned password and for a
synchronised account alike, so here it cannot be avoided. What no row knows falls through to the status alone, and a
person gets the code. Codes and messages are compared folded: the services behind Graph differ in case. Sources:
learn.microsoft.com/graph/errors, user-update, authenticationmethods-overview, and public reports, read 2026-11-22; a
row says `UNVERIFIED` where its words were not seen in any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class GraphError:
    """What Graph said about a refusal.

    Attributes:
        code: Its code, for messages; letters and digits only. Empty where it gave none.
        text: Code and message, folded, for recognising known refusals. Never shown: it is a response body.
    """

    code: str
    text: str = field(repr=False)

    def mentions(self, *phrases: str) -> bool:
        return any(phrase in self.text for phrase in phrases)


class Meaning(Enum):
    """What a refusal comes to, as the rest of this package tells them apart."""

    PASSWORD_REJECTED = "the candidate is too weak or banned"  # noqa: S105 - no password
    SYNCHRONISED = "the account is synchronised from another directory"
    FEDERATED = "the account's domain is federated"
    HELD_BACK = "another method has to go first"
    WRONG_ADDRESS = "Graph does not know this address"
    GONE = "there is no such thing (any more)"
    NEEDS_LICENCE = "the tenant has no licence for it"
    BLOCKED_BY_POLICY = "the customer's Conditional Access blocks the app"
    PERMISSION_MISSING = "the app lacks a permission"
    FORBIDDEN = "a permission, a role or the target forbids it"
    SIGNED_OUT = "the token does not count"
    UNKNOWN = "anything else"


@dataclass(frozen=True)
class Row:
    """One known refusal. It is met when the status, one of the codes and one of the phrases fit; none given: any."""

    meaning: Meaning
    statuses: frozenset[int]
    codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()

    def fits(self, status: int, error: GraphError) -> bool:
        return (
            status in self.statuses
            and (not self.codes or error.mentions(*self.codes))
            and (not self.phrases or error.mentions(*self.phrases))
        )


def _row(meaning: Meaning, *statuses: int, codes: tuple[str, ...] = (), phrases: tuple[str, ...] = ()) -> Row:
    return Row(meaning, frozenset(statuses), codes, phrases)


# The first row that fits counts.
TABLE: tuple[Row, ...] = (
    # Seen in many reports.
    _row(Meaning.PASSWORD_REJECTED, 400, phrases=("password complexity", "password does not comply")),
    _row(Meaning.SYNCHRONISED, 400, phrases=("on-premises mastered", "directory sync")),
    # UNVERIFIED wordings of the banned list.
    _row(
        Meaning.PASSWORD_REJECTED,
        400,
        phrases=(
            "banned password",
            "password is banned",
            "password protection",
            "password is too weak",
            "password is too common",
            "commonly used password",
            "choose a different password",
            "provide a different password",
        ),
    ),
    # UNVERIFIED wording; that passwordProfile cannot be used for federated users is on the page of user-update.
    _row(Meaning.FEDERATED, 400, phrases=("federated",)),
    # microsoft-graph-docs#14470 and #18091; the second by what a published connector matches.
    _row(Meaning.HELD_BACK, 400, phrases=("default method", "default authentication method", "alternate mobile")),
    # The service behind the methods answers so to an address that does not exist: msgraph-sdk-powershell#937. Such a
    # 404 must never be taken for "removed".
    _row(Meaning.WRONG_ADDRESS, 400, 404, 405, phrases=("no http resource", "segment")),
    _row(Meaning.WRONG_ADDRESS, 405, 501),
    _row(Meaning.GONE, 404, 410),
    _row(
        Meaning.NEEDS_LICENCE, 400, 403,
        codes=("authentication_requestfromnonpremiumtenantorb2ctenant", "aadpremiumlicenserequired"),
    ),
    _row(Meaning.BLOCKED_BY_POLICY, 401, 403, codes=("insufficient_claims",)),
    _row(Meaning.PERMISSION_MISSING, 403, codes=("authentication_msgraphpermissionmissing",)),  # UNVERIFIED
    _row(Meaning.FORBIDDEN, 403),
    _row(Meaning.SIGNED_OUT, 401),
)  # fmt: skip


def meaning_of(status: int, error: GraphError | None) -> Meaning:
    """What a refusal means; `UNKNOWN` where no row knows it."""
    known = error or GraphError("", "")
    return next((row.meaning for row in TABLE if row.fits(status, known)), Meaning.UNKNOWN)


def read_error(body: object) -> GraphError:
    """The error in a body of whatever shape; empty where there is none."""
    found: list[str] = []
    code = ""
    level: object = body
    for _ in range(4):  # the envelope, and errors inside errors
        if not isinstance(level, Mapping):
            break
        level = {str(key).casefold(): value for key, value in level.items()}
        if isinstance(level.get("code"), str):
            code = code or level["code"]
            found.append(level["code"])
        if isinstance(level.get("message"), str):
            found.append(level["message"])
        level = level.get("error") or level.get("innererror") or level.get("internalexception")
    return GraphError(UNSAFE.sub("", code)[:80], " ".join(found).casefold())
