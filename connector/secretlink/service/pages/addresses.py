"""What stands behind `/s/` in an address, and how a link is found by it.

In path mode it is the token. In fragment mode it is the link's id, and the token stands behind `#`, where no browser
sends it; the page's script sends the lookup instead. Some mail gateways rewrite `#` to `%23` or even `%2523`, and then
the token does arrive here: such a link is opened like one in path mode, because a link that does not open helps nobody.
Source: issue reports about Safe Links (Skyfay/SkySend 68) and Mimecast (supabase/auth 542), read 2026-11-22.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from connector.secretlink.seal import LOOKUP_BYTES, MalformedToken, decode_token, is_link_id, lookup_of
from connector.secretlink.service.store.links import FRAGMENT, LinkRecord
from connector.secretlink.service.store.vault import Vault

# As it is after the web server has undone one layer of percent signs.
_MANGLED: Final = re.compile(r"([A-Za-z0-9_-]{8,64})(?:#|%(?:25)*23)([A-Za-z0-9_-]{32})", re.ASCII)


@dataclass(frozen=True)
class Address:
    """What an address says. `repr` shows no secret.

    Attributes:
        path: Where the link's page is, without host.
        token: `None` where there is none.
        link_id: `None` where there is none. Text of 32 letters can be a token and an id.
        mangled: Whether a token arrived that should have stayed in the browser.
    """

    path: str = field(repr=False)
    token: bytes | None = field(default=None, repr=False)
    link_id: str | None = field(default=None, repr=False)
    mangled: bool = False


@dataclass(frozen=True)
class Found:
    """A link for a visitor who has proved that they have its token.

    Attributes:
        path: Where its page is, without host.
        lookup: See `seal.lookup_of`.
        token: `None` where the browser keeps it.
    """

    link: LinkRecord
    path: str = field(repr=False)
    lookup: bytes = field(repr=False)
    token: bytes | None = field(repr=False)

    @property
    def lookup_text(self) -> str:
        """The lookup in letters, for the forms of a page whose token stays in the browser; else empty."""
        return encode_bytes(self.lookup) if self.token is None else ""


class Finder:
    """Finds links by what requests show. Changes nothing and leaves no trace."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def find(self, address: Address, shown: object = None) -> Found | None:
        """The link of somebody who has its token; `None` for everybody else.

        Args:
            shown: The lookup in letters, from a request's body.
        """
        if address.token is not None:
            found = self._by_lookup(address, lookup_of(address.token), address.token)
            if found is not None or shown is None:
                return found
        lookup = decode_bytes(shown, LOOKUP_BYTES)
        if lookup is None:
            return None
        found = self._by_lookup(address, lookup, None)
        # In path mode whoever has no token has nothing to ask for.
        return found if found and found.link.mode == FRAGMENT and found.link.terms.link_id == address.link_id else None

    def find_by_id(self, address: Address) -> LinkRecord | None:
        """A link in fragment mode for somebody who may know no more than its id: nothing of it may be told."""
        link = self._vault.find(address.link_id) if address.link_id and not address.mangled else None
        return link if link and link.mode == FRAGMENT else None

    def _by_lookup(self, address: Address, lookup: bytes, token: bytes | None) -> Found | None:
        link = self._vault.look(lookup)
        if link is None or (address.mangled and link.terms.link_id != address.link_id):
            return None
        return Found(link, address.path, lookup, token)


def read_address(request: Request) -> Address:
    """What a request's address says."""
    text = str(request.path_params["token"])
    mangled = _MANGLED.fullmatch(text)
    if mangled:
        return Address(f"/s/{mangled[2]}", decode_token(mangled[2]), mangled[1], mangled=True)
    return Address(f"/s/{text}", read_token(text), text if is_link_id(text) else None)


def read_token(text: str) -> bytes | None:
    """A token from its letters; `None` for what cannot be one."""
    try:
        return decode_token(text)
    except MalformedToken:
        return None


def decode_bytes(text: object, length: int) -> bytes | None:
    """Bytes from base64 in the URL-safe alphabet, padding optional; `None` for anything else."""
    if not isinstance(text, str):
        return None
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return content if len(content) == length else None


def encode_bytes(content: bytes) -> str:
    """Bytes in base64 of the URL-safe alphabet."""
    return base64.urlsafe_b64encode(content).decode("ascii")
