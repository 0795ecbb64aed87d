"""Every kind of authentication method: its address, the permission that may delete it, and what it typically shows.

Source: learn.microsoft.com/graph/api/resources/authenticationmethods-overview and the published permissions, read
2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PASSWORD_METHOD_ID = "28c10230-6103-485e-b985-444c60001490"
"""The id of everybody's password method. Source: learn.microsoft.com passwordAuthenticationMethod, read 2026-11-22."""

PHONE_METHOD_IDS = {
    "mobile": "3179e48a-750b-4051-897c-87b9720928f7",
    "alternateMobile": "b6332ec1-7057-4abe-9331-3d72feddfe41",
    "office": "e37fc753-ff3b-4958-9484-eaa9425c82bc",
}
"""A phone's id depends on its type only. Source: learn.microsoft.com phoneAuthenticationMethod, read 2026-11-22."""

METHOD_SEGMENTS = {
    "phoneAuthenticationMethod": "phoneMethods",
    "emailAuthenticationMethod": "emailMethods",
    "microsoftAuthenticatorAuthenticationMethod": "microsoftAuthenticatorMethods",
    "fido2AuthenticationMethod": "fido2Methods",
    "softwareOathAuthenticationMethod": "softwareOathMethods",
    "windowsHelloForBusinessAuthenticationMethod": "windowsHelloForBusinessMethods",
    "platformCredentialAuthenticationMethod": "platformCredentialMethods",
    "temporaryAccessPassAuthenticationMethod": "temporaryAccessPassMethods",
    "externalAuthenticationMethod": "externalAuthenticationMethods",
    "qrCodePinAuthenticationMethod": "qrCodePinMethod",
    "resourceAccountKeyAuthenticationMethod": "resourceAccountKeyAuthenticationMethods",
    "hardwareOathAuthenticationMethod": "hardwareOathMethods",
    "passwordlessMicrosoftAuthenticatorAuthenticationMethod": "passwordlessMicrosoftAuthenticatorMethods",
}
"""Where each type of method is read and deleted. The password method has no DELETE and so is not here."""

BETA_ONLY = frozenset({"hardwareOathMethods", "passwordlessMicrosoftAuthenticatorMethods"})
"""Addresses that v1.0 does not know. Source: the v1.0 metadata has neither type, read 2026-11-22."""

METHOD_PERMISSIONS = {
    "phoneMethods": "UserAuthMethod-Phone.ReadWrite.All",
    "emailMethods": "UserAuthMethod-Email.ReadWrite.All",
    "microsoftAuthenticatorMethods": "UserAuthMethod-MicrosoftAuthApp.ReadWrite.All",
    "fido2Methods": "UserAuthMethod-Passkey.ReadWrite.All",
    "softwareOathMethods": "UserAuthMethod-SoftwareOATH.ReadWrite.All",
    "windowsHelloForBusinessMethods": "UserAuthMethod-WindowsHello.ReadWrite.All",
    "platformCredentialMethods": "UserAuthMethod-PlatformCred.ReadWrite.All",
    "temporaryAccessPassMethods": "UserAuthMethod-TAP.ReadWrite.All",
    "externalAuthenticationMethods": "UserAuthMethod-External.ReadWrite.All",
    "qrCodePinMethod": "UserAuthMethod-QR.ReadWrite.All",
    "resourceAccountKeyAuthenticationMethods": "UserAuthMethod-ResourceKey.ReadWrite.All",
    "hardwareOathMethods": "UserAuthMethod-HardwareOATH.ReadWrite.All",
    "passwordlessMicrosoftAuthenticatorMethods": "UserAuthMethod-MicrosoftAuthApp.ReadWrite.All",
}
"""The narrow permission that may delete each type; `UserAuthenticationMethod.ReadWrite.All` covers all."""

SUFFIX = "AuthenticationMethod"
TYPICAL: dict[str, dict[str, Any]] = {
    "emailAuthenticationMethod": {"emailAddress": "someone@home.example"},
    "externalAuthenticationMethod": {
        "displayName": "Other MFA",
        "configurationId": "00000000-0000-4000-8000-00000000e7e7",
    },
    "fido2AuthenticationMethod": {
        "displayName": "Key",
        "aaGuid": "00000000-0000-4000-8000-0000000f1d02",
        "model": "Key 5",
        "attestationLevel": "attested",
        "attestationCertificates": [],
        "passkeyType": "deviceBound",
    },
    "microsoftAuthenticatorAuthenticationMethod": {
        "displayName": "Phone",
        "deviceTag": "SoftwareTokenActivated",
        "phoneAppVersion": "6.2511.1",
    },
    "phoneAuthenticationMethod": {
        "phoneNumber": "+44 5550199",
        "phoneType": "mobile",
        "smsSignInState": "notEnabled",
    },
    "platformCredentialAuthenticationMethod": {"displayName": "Mac", "keyStrength": "normal", "platform": "macOS"},
    "resourceAccountKeyAuthenticationMethod": {"displayName": "Room key"},
    "softwareOathAuthenticationMethod": {"secretKey": None},
    "temporaryAccessPassAuthenticationMethod": {
        "temporaryAccessPass": None,
        "lifetimeInMinutes": 60,
        "isUsableOnce": True,
        "isUsable": True,
        "methodUsabilityReason": "EnabledByPolicy",
    },
    "windowsHelloForBusinessAuthenticationMethod": {"displayName": "LAPTOP", "keyStrength": "normal"},
}
"""What a method of each kind has besides its id and date, unless told otherwise."""


@dataclass
class Method:
    """One registered sign-in method. `kind` is Microsoft's type name without `#microsoft.graph.`.

    `stuck`: listed, but refused whenever it is to be deleted.
    """

    id: str
    kind: str
    properties: dict[str, Any] = field(default_factory=dict)
    stuck: bool = False

    @property
    def phone_type(self) -> str | None:
        return self.properties.get("phoneType")


def new_method(kind: str, *, method_id: str, created: str, stuck: bool = False, **properties: Any) -> Method:
    """A method of any kind, known or not; a phone's id follows from its type, whatever `method_id` says.

    Args:
        kind: Microsoft's type name, with or without `AuthenticationMethod` at its end.
    """
    name = kind if kind.endswith(SUFFIX) else f"{kind}{SUFFIX}"
    all_properties = {"createdDateTime": created} | TYPICAL.get(name, {}) | properties
    if name == "temporaryAccessPassAuthenticationMethod":
        all_properties.setdefault("startDateTime", created)
    phone_type = all_properties.get("phoneType")
    return Method(PHONE_METHOD_IDS[phone_type] if phone_type else method_id, name, all_properties, stuck)
