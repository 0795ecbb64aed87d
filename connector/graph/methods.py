"""Every kind of authentication method: where it is removed, with which permission, and when.

There is no common address for removing: each type has its own, and no rule derives one from the other. Source:
learn.microsoft.com/graph/api/resources/authenticationmethods-overview, the v1.0 metadata and the published
permissions, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connector.errors import TemporaryError

PREFIX = "#microsoft.graph."
SUFFIX = "AuthenticationMethod"
PASSWORD = "passwordAuthenticationMethod"  # noqa: S105 - the name of a type
PHONES = {"mobile": "phone (mobile)", "alternatemobile": "phone (alternate mobile)", "office": "phone (office)"}
WORD = re.compile(r"[^A-Za-z0-9.]")


@dataclass(frozen=True)
class Kind:
    """How one type of method is removed.

    Attributes:
        segment: Of the address, behind `/authentication/`.
        has_id: The method's id follows; the QR code PIN has none, since there is one at most.
        version: Where the address exists.
        beta_too: Learn puts it into v1.0, the metadata does not: try beta where v1.0 does not know it.
    """

    words: str
    segment: str
    permission: str
    has_id: bool = True
    version: str = "v1.0"
    beta_too: bool = False


def _kind(words: str, segment: str, permission: str, *, has_id: bool = True, version: str = "v1.0",
          beta_too: bool = False) -> Kind:  # fmt: skip
    return Kind(words, segment, f"UserAuthMethod-{permission}.ReadWrite.All", has_id, version, beta_too)


# In the order of removal. A method that is the default is refused as long as another one is there, and the default is
# most often the Authenticator app, then the mobile phone: they go last, which saves refused calls. The first are live
# one-time passes and what the directory never makes the default. `alternateMobile` must go before `mobile`.
KINDS: Mapping[str, Kind] = {
    "temporaryAccessPassAuthenticationMethod": _kind("Temporary Access Pass", "temporaryAccessPassMethods", "TAP"),
    "fido2AuthenticationMethod": _kind("fido2", "fido2Methods", "Passkey"),
    "windowsHelloForBusinessAuthenticationMethod": _kind(
        "Windows Hello for Business", "windowsHelloForBusinessMethods", "WindowsHello"
    ),
    "platformCredentialAuthenticationMethod": _kind("platform credential", "platformCredentialMethods", "PlatformCred"),
    "resourceAccountKeyAuthenticationMethod": _kind(
        "resource account key", "resourceAccountKeyAuthenticationMethods", "ResourceKey"
    ),
    "qrCodePinAuthenticationMethod": _kind("QR code PIN", "qrCodePinMethod", "QR", has_id=False, beta_too=True),
    "externalAuthenticationMethod": _kind("external method", "externalAuthenticationMethods", "External"),
    "hardwareOathAuthenticationMethod": _kind(
        "hardware OATH token", "hardwareOathMethods", "HardwareOATH", version="beta"
    ),
    "emailAuthenticationMethod": _kind("email", "emailMethods", "Email"),
    "softwareOathAuthenticationMethod": _kind("software OATH token", "softwareOathMethods", "SoftwareOATH"),
    "phoneAuthenticationMethod": _kind("phone", "phoneMethods", "Phone"),
    "microsoftAuthenticatorAuthenticationMethod": _kind(
        "Microsoft Authenticator", "microsoftAuthenticatorMethods", "MicrosoftAuthApp"
    ),
}
PLACES = {name: place for place, name in enumerate(KINDS)}
PHONE_PLACES = {"office": 0, "alternatemobile": 1}


@dataclass(frozen=True)
class Method:
    """A method as listed.

    Attributes:
        key: What it is recognised by in a later listing.
        kind: In words, for people: `phone (mobile)`.
    """

    key: str
    kind: str
    type_name: str
    id: str
    phone_type: str = ""

    @property
    def short_type(self) -> str:
        """Graph's name of the type, as the configuration writes it: `fido2`."""
        return self.type_name.removesuffix(SUFFIX)

    @property
    def is_password(self) -> bool:
        return self.type_name == PASSWORD

    @property
    def removable(self) -> bool:
        """Whether we know how. The password never is."""
        known = KINDS.get(self.type_name)
        return known is not None and (bool(self.id) or not known.has_id)

    @property
    def order(self) -> tuple[int, int]:
        return PLACES[self.type_name], PHONE_PLACES.get(self.phone_type, 2)

    @property
    def path(self) -> str:
        known = KINDS[self.type_name]
        return f"{known.segment}/{quote(self.id, safe='')}" if known.has_id else known.segment

    @property
    def permission(self) -> str:
        return KINDS[self.type_name].permission

    @property
    def version(self) -> str:
        return KINDS[self.type_name].version

    @property
    def beta_too(self) -> bool:
        return KINDS[self.type_name].beta_too


def read_methods(body: object) -> list[Method]:
    """The listed methods, each of them: one that cannot be understood is a method that we cannot remove.

    Raises:
        TemporaryError: It is no list, or not the whole of it.
    """
    rows = body.get("value") if isinstance(body, Mapping) else None
    if not isinstance(rows, list) or (isinstance(body, Mapping) and body.get("@odata.nextLink")):
        # A list in pages is documented nowhere; half of it would look like all of it.
        raise TemporaryError("Microsoft Graph sent no whole list of sign-in methods. It is tried again by itself.")
    return [_read(row) for row in rows]


def _read(row: Any) -> Method:
    row = row if isinstance(row, Mapping) else {}
    given = row.get("@odata.type")
    type_name = given.removeprefix(PREFIX) if isinstance(given, str) else ""
    id_ = row["id"] if isinstance(row.get("id"), str) else ""
    phone_type = str(row.get("phoneType", "")).casefold() if type_name == "phoneAuthenticationMethod" else ""
    known = KINDS.get(type_name)
    words = PHONES.get(phone_type) or (known.words if known else "")
    if type_name == PASSWORD:
        words = "password"
    return Method(
        key=f"{type_name}/{id_}",
        kind=words or f"unknown method {WORD.sub('', type_name)[:60]}".strip(),
        type_name=type_name,
        id=id_,
        phone_type=phone_type,
    )
