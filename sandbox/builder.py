"""Makes accounts, groups and methods with ids that depend on the world's seed and their name only."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sandbox.directory import Account, Group, Password, Tenant, graph_time
from sandbox.methods import PASSWORD_METHOD_ID, Method, new_method


def identifier(seed: int, name: str) -> str:
    """A GUID that depends on seed and name only."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox:{seed}:{name}"))


class Builder:
    """Makes one tenant's accounts and groups with derived ids."""

    def __init__(self, seed: int, tenant: Tenant, now: datetime) -> None:
        self.seed, self.tenant, self.now = seed, tenant, now

    def id_of(self, name: str) -> str:
        return identifier(self.seed, f"{self.tenant.key}:{name}")

    def account(
        self,
        name: str,
        display_name: str,
        *,
        methods: Iterable[Method] = (),
        domain: str | None = None,
        **properties: Any,
    ) -> Account:
        given, _, surname = display_name.partition(" ")
        upn = properties.pop("userPrincipalName", f"{name}@{domain or self.tenant.domains[0].name}")
        mail = properties.pop("mail", upn)
        created = graph_time(self.now - timedelta(days=400))
        account = Account(
            id=self.id_of(name),
            properties={
                "userPrincipalName": upn,
                "displayName": display_name,
                "givenName": given,
                "surname": surname or None,
                "mail": mail,
                "otherMails": [],
                "proxyAddresses": [f"SMTP:{mail}"],
                "businessPhones": [],
                "mobilePhone": None,
                "jobTitle": None,
                "officeLocation": None,
                "preferredLanguage": "en-GB",
                "accountEnabled": True,
                "userType": "Member",
                "creationType": None,
                "externalUserState": None,
                "identities": [
                    {"signInType": "userPrincipalName", "issuer": self.tenant.domains[-1].name, "issuerAssignedId": upn}
                ],
                "onPremisesSyncEnabled": None,
                "onPremisesImmutableId": None,
                "onPremisesSamAccountName": None,
                "onPremisesDomainName": None,
                "isManagementRestricted": None,
                "passwordPolicies": None,
                "assignedLicenses": [],
                "usageLocation": "GB",
                "createdDateTime": created,
                "lastPasswordChangeDateTime": created,
                "signInSessionsValidFromDateTime": created,
            }
            | properties,
            # Nobody knows the first password; a reset replaces it.
            password=Password(secrets.token_urlsafe(24)),
            methods=[
                Method(
                    PASSWORD_METHOD_ID, "passwordAuthenticationMethod", {"createdDateTime": created, "password": None}
                ),
                *methods,
            ],
        )
        self.tenant.accounts[account.id] = account
        return account

    def group(self, name: str, members: Iterable[Account | Group], **options: Any) -> Group:
        group = Group(self.id_of(name), name, members=[member.id for member in members], **options)
        self.tenant.groups[group.id] = group
        return group

    def method(self, owner: str, kind: str, **properties: Any) -> Method:
        created = graph_time(self.now - timedelta(days=90))
        return new_method(kind, method_id=self.id_of(f"{owner}:{kind}:{properties}"), created=created, **properties)

    def authenticator(self, owner: str) -> Method:
        return self.method(
            owner,
            "microsoftAuthenticator",
            displayName="Phone",
            deviceTag="SoftwareTokenActivated",
            phoneAppVersion="6.2511.1",
        )

    def phone(self, owner: str, number: str, phone_type: str = "mobile") -> Method:
        return self.method(owner, "phone", phoneNumber=number, phoneType=phone_type, smsSignInState="notEnabled")
