"""Reading Graph's answers about an account without trusting them: what is absent or odd is a fact not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from connector.core.case import Person, fold, mailbox
from connector.errors import PermanentError, TemporaryError
from connector.graph.client import Reply

LONGEST_ADDRESS = 320


class Facts:
    """The properties of a user. Graph sends every one that was selected, so an absent one is a fact not read."""

    def __init__(self, user: Mapping[str, Any], unknown: list[str]) -> None:
        self._user = user
        self._unknown = unknown

    def text(self, key: str, meaning: str, *, needed: bool = True) -> str:
        value = self._user.get(key)
        if isinstance(value, str) and value:
            return value
        if needed:
            self._unknown.append(meaning)
        return ""

    def flag(self, key: str, meaning: str, *, empty: bool | None = None) -> bool:
        """`empty`: what `null` means; `None` when it means nothing."""
        value = self._user.get(key) if key in self._user else "absent"
        if value is None:
            value = empty
        if isinstance(value, bool):
            return value
        self._unknown.append(meaning)
        return False

    def texts(self, key: str, meaning: str) -> list[str]:
        value = self._user.get(key)
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self._unknown.append(meaning)
            return []
        return value

    def has(self, key: str) -> bool:
        return key in self._user

    def raw(self, key: str) -> object:
        return self._user.get(key)

    def miss(self, meaning: str) -> None:
        self._unknown.append(meaning)


MEMBER, GUEST = "member", "guest"
OWN_WAYS = frozenset({"localaccount", "emailverified"})
FOREIGN_WAYS = frozenset({"invitation", "selfservicesignup"})
"""How an account came to be (`creationType`); null for an ordinary one. Source:
learn.microsoft.com/graph/api/resources/user, read 2026-11-22."""


def is_guest(facts: Facts, upn: str) -> bool:
    """Guest by any of the signs; one that is missing, or of a value that is not documented, is a fact not read."""
    kind = fold(facts.text("userType", "whether it is a guest (its userType is empty)"))
    if kind not in (MEMBER, GUEST, ""):
        facts.miss("whether it is a guest (its userType is neither Member nor Guest)")
    way, state = facts.raw("creationType"), facts.raw("externalUserState")
    known_way = way is None or (isinstance(way, str) and fold(way) in OWN_WAYS | FOREIGN_WAYS)
    known_state = state is None or (isinstance(state, str) and state != "")
    if not (facts.has("creationType") and facts.has("externalUserState") and known_way and known_state):
        facts.miss("whether it is a guest")
    foreign = isinstance(way, str) and fold(way) in FOREIGN_WAYS
    return kind == GUEST or foreign or state is not None or "#ext#" in fold(upn)


def addresses_of(facts: Facts, upn: str) -> frozenset[str]:
    """Every address that a person may be known by. Those of another kind (X500, phone) are no addresses."""
    if not (facts.has("mail") and isinstance(facts.raw("mail"), str | None)):
        facts.miss("its mail address")
    found = [upn, facts.text("mail", "", needed=False)]
    found += facts.texts("otherMails", "its other mail addresses")
    for proxy in facts.texts("proxyAddresses", "its mail addresses"):
        kind, colon, address = proxy.partition(":")
        if not colon or fold(kind) in ("smtp", "sip"):
            found.append(address if colon else proxy)
    found += _sign_in_names(facts)
    return frozenset(fold(address) for address in found if "@" in address)


def alternate_mails_of(facts: Facts, upn: str) -> tuple[str, ...]:
    """The other addresses, as written, that do not lead into the account's own mailbox."""
    own = {mailbox(upn), mailbox(facts.text("mail", "", needed=False))}
    own |= {mailbox(proxy.partition(":")[2] or proxy) for proxy in listed(facts.raw("proxyAddresses"))
            if isinstance(proxy, str)}  # fmt: skip
    others = (other.strip() for other in listed(facts.raw("otherMails")) if isinstance(other, str))
    return tuple(dict.fromkeys(other for other in others if is_address(other) and mailbox(other) not in own))


def manager_in(body: object) -> Person | None:
    """The manager in an answer; `None` for one whose account is disabled: nobody reads that mailbox.

    It may be a contact instead of an account: without a permission to read those, only its id shows. Source:
    learn.microsoft.com/graph/api/user-list-manager, read 2026-11-22.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("id"), str):
        raise nonsense("the manager of an account")
    if body.get("accountEnabled") is False:
        return None
    shown = {key: value for key, value in body.items() if isinstance(value, str) and value}
    addresses = [fold(shown[key]) for key in ("mail", "userPrincipalName") if key in shown]
    # By any of these the PSA may know them as the one who asked or approved.
    addresses += [fold(proxy[5:]) for proxy in listed(body.get("proxyAddresses"))
                  if isinstance(proxy, str) and fold(proxy[:5]) == "smtp:"]  # fmt: skip
    return Person(
        name=shown.get("displayName", ""),
        email=shown.get("mail"),
        ids=frozenset({f"entra:{fold(shown['id'])}", *(f"mail:{address}" for address in addresses)}),
    )


def names(reply: Reply, thing: str, unknown: list[str]) -> tuple[str, ...]:
    """Names of the rows; a row whose name we may not read still counts."""
    rows = rows_of(reply)
    if rows is None:
        unknown.append(f"its {thing}s")
        return ()
    # `false` means that the filter was not applied; anything else, empty included, means that it matched.
    names = tuple(name_of(row, thing) for row in rows if row.get("isAssignableToRole") is not False)
    if not names and has_more(reply):
        unknown.append(f"its {thing}s beyond the first page")
    return names


def name_of(row: Mapping[str, Any], thing: str) -> str:
    for key in ("displayName", "roleTemplateId", "id"):
        value = row.get(key)
        if isinstance(value, str) and value:
            return value if key == "displayName" else f"{thing} {value}"
    return f"{thing} without a name"


def _sign_in_names(facts: Facts) -> list[str]:
    """The names by which the account signs in; null where another organisation knows it."""
    identities = facts.raw("identities")
    rows = identities if isinstance(identities, list) else [None]
    names = [row.get("issuerAssignedId", 0) if isinstance(row, Mapping) else 0 for row in rows]
    if not all(name is None or isinstance(name, str) for name in names):
        facts.miss("its sign-in identities")
    return [name for name in names if isinstance(name, str)]


def accounts(reply: Reply) -> dict[str, str]:
    """Object id and sign-in name of each row of a list of accounts.

    Raises:
        TemporaryError: It is no such list.
        PermanentError: It goes on.
    """
    rows = rows_of(reply)
    found = {object_id(str(row.get("id", ""))): str(row.get("userPrincipalName") or "") for row in rows or ()}
    if rows is None or "" in found or (has_more(reply) and len(found) < 2):
        raise nonsense("a list of accounts")
    if has_more(reply):
        # Permanent, and no AmbiguousAccount: whoever compares the requester with the approver needs all of them.
        raise PermanentError(
            f"More than {len(found)} accounts answer to one address of the ticket. Tidy the addresses up in Entra (an "
            "alternate address that many share, most often), then retry the ticket."
        )
    return found


def rows_of(reply: Reply) -> list[Mapping[str, Any]] | None:
    """The rows of a collection; `None` when the reply is not one, or holds something else than objects."""
    value = reply.body.get("value") if reply.fine and isinstance(reply.body, Mapping) else None
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        return None
    return value


def domains_of(organization: Reply) -> list[Mapping[str, Any]] | None:
    """The verified domains in an answer about the organization; `None` when it is no such answer."""
    rows = rows_of(organization)
    if rows is None:
        return None
    return [row for one in rows for row in listed(one.get("verifiedDomains")) if isinstance(row, Mapping)]


def has_more(reply: Reply) -> bool:
    return isinstance(reply.body, Mapping) and bool(reply.body.get("@odata.nextLink"))


def listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def object_id(text: str) -> str:
    """The id in the form that Graph writes; empty when it is none, so that it cannot bend an address."""
    try:
        plain = str(UUID(text))
    except ValueError:
        return ""
    return plain if fold(text) == plain else ""


def is_address(text: str) -> bool:
    name, at, domain = text.rpartition("@")
    return bool(name and at and domain) and len(text) <= LONGEST_ADDRESS and text.isprintable() and " " not in text


def moment(value: object) -> datetime | None:
    """A point in time as Graph writes it; `None` for anything else, and for one without a zone."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return read.astimezone(UTC) if read is not None and read.tzinfo is not None else None


def nonsense(what: str) -> TemporaryError:
    return TemporaryError(f"Microsoft Graph sent something that is not {what}. It is tried again by itself.")
