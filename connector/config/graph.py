"""The app registrations with their credentials, and what an MFA reset keeps."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from connector.config.clouds import CLOUDS, read_cloud
from connector.config.values import Day, FilePath, SecretValue, Section, Url

CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
CREDENTIALS = ("client_secret", "certificate", "certificate_pfx", "federated")


def _check_callable(value: str) -> str:
    if not CALLABLE.fullmatch(value):
        raise ValueError(f"{value!r} names no function: write package.module:function")
    return value


class PfxSection(Section):
    """A PFX (PKCS#12) file with the key and its certificate.

    Attributes:
        passphrase: Of the file; `None` for one without.
    """

    file: FilePath
    passphrase: SecretValue | None = None


class FederatedSection(Section):
    """A token of another issuer that Entra is told to trust. Exactly one of the two.

    Attributes:
        file: Holds the token; the platform renews it, and it is read again each time.
        callable: `package.module:function` of a function without arguments that returns the token.
    """

    file: FilePath | None = None
    callable: Annotated[str, AfterValidator(_check_callable)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> FederatedSection:
        if (self.file is None) == (self.callable is None):
            raise ValueError("give exactly one of file and callable")
        return self


class RegistrationSection(Section):
    """An app registration with exactly one credential.

    Attributes:
        client_secret_expires: The day on which the secret ends, written down by the admin who made it. Microsoft tells
            it only to apps that may read registrations, and this one should not need that.
        certificate: A PEM text with key and certificate.
        certificate_passphrase: Of the key in that PEM; `None` for one without.
        certificate_pfx: The same as a PFX file.
        federated: A token of another issuer; nothing that could be stolen lies on this machine.
    """

    client_id: str
    client_secret: SecretValue | None = None
    client_secret_expires: Day | None = None
    certificate: SecretValue | None = None
    certificate_passphrase: SecretValue | None = None
    certificate_pfx: PfxSection | None = None
    federated: FederatedSection | None = None

    @model_validator(mode="after")
    def _one_credential(self) -> RegistrationSection:
        if sum(getattr(self, name) is not None for name in CREDENTIALS) != 1:
            raise ValueError(f"give exactly one of {', '.join(CREDENTIALS[:-1])} and {CREDENTIALS[-1]}")
        for extra, of in (("client_secret_expires", "client_secret"), ("certificate_passphrase", "certificate")):
            if getattr(self, extra) is not None and getattr(self, of) is None:
                raise ValueError(f"{extra} belongs to {of}, which is not there: take it out")
        return self


class GraphSection(RegistrationSection):
    """The app registration, the cloud that it lives in, and a second registration for MFA resets where one is used.

    Attributes:
        cloud: One of `CLOUDS`; it gives the defaults of the next two, which win where they are written.
        authority: Of the sign-in service, without a tenant.
        url: Of Graph, without a version.
        mfa: The app that lists and removes sign-in methods, so that the first one needs no permission for it; `None`:
            the first one does everything. It signs in to the same cloud.
    """

    cloud: Annotated[str, BeforeValidator(read_cloud)] = "global"
    authority: Url = CLOUDS["global"].authority
    url: Url = CLOUDS["global"].url
    mfa: RegistrationSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _addresses_of_the_cloud(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "cloud" not in data:
            return data
        try:
            cloud = CLOUDS[read_cloud(data["cloud"])]
        except ValueError:
            return data  # the field itself tells
        return {"authority": cloud.authority, "url": cloud.url, **data}

    @model_validator(mode="after")
    def _two_apps_are_two(self) -> GraphSection:
        if self.mfa is not None and self.mfa.client_id.casefold() == self.client_id.casefold():
            raise ValueError(
                "mfa has the same client_id: write that of the second registration, or take mfa out where one app does "
                "everything"
            )
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
