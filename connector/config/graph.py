"""The app registration, and what an MFA reset keeps."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import AfterValidator, model_validator

from connector.config.values import SecretValue, Section, Url


class GraphSection(Section):
    """The app registration. Exactly one of `client_secret` and `certificate` (a PEM with key and certificate)."""

    client_id: str
    client_secret: SecretValue | None = None
    certificate: SecretValue | None = None
    authority: Url = "https://login.microsoftonline.com"
    url: Url = "https://graph.microsoft.com"

    @model_validator(mode="after")
    def _one_credential(self) -> GraphSection:
        if (self.client_secret is None) == (self.certificate is None):
            raise ValueError("give exactly one of client_secret and certificate")
        return self


METHOD_NAMES = (
    "email", "external", "fido2", "hardwareOath", "microsoftAuthenticator", "phone", "platformCredential", "qrCodePin",
    "resourceAccountKey", "softwareOath", "temporaryAccessPass", "windowsHelloForBusiness",
)  # fmt: skip
"""Kinds of sign-in methods: Graph's type names without `AuthenticationMethod`. Source: learn.microsoft.com
authenticationmethods-overview and the published metadata, read 2026-11-22."""


def _check_method_name(value: str) -> str:
    if value == "password":
        raise ValueError("the password is never removed by an MFA reset: take it out of the list")
    if value not in METHOD_NAMES:
        close = difflib.get_close_matches(value, METHOD_NAMES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"{value!r} is not a kind of sign-in method: {hint}known are {', '.join(METHOD_NAMES)}")
    return value


class MfaSection(Section):
    """What an MFA reset leaves alone.

    Attributes:
        keep: Kinds of sign-in methods that are not removed, of `METHOD_NAMES`; nothing is kept by default.
    """

    keep: tuple[Annotated[str, AfterValidator(_check_method_name)], ...] = ()
