"""Microsoft's codes for a refused sign-in, and what an admin can do about each.

Source: learn.microsoft.com/entra/identity-platform/reference-error-codes, read 2026-11-22; 7000229, 900023, 70021 and
700211 to 700213 from Azure DevOps' troubleshooting page and public reports, read the same day. That page asks clients
not to depend on the codes: an unknown one is told with its number, and nothing is decided by a code but whether to
wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CODE = re.compile(r"AADSTS(\d+)")

PASSING_CODES = frozenset({90006, 90012, 90024, 90033, 90055, 90090})
"""Microsoft's own trouble; nothing to mend here."""

OPEN_LINK = "Have the customer's admin open the consent link {link} and accept"

# Filled in: {place} the tenant in our configuration, {app} the app's section, {credential} the place of its credential,
# {link} the tenant's consent link.
ADVICE: Mapping[int, str] = {
    7000215: "{credential} is wrong: paste the secret's Value, not its ID",
    7000222: "The client secret has expired: make a new one and put it into {credential}",
    700027: "The certificate does not belong to this app: upload it to the app registration, or correct {credential}",
    700024: "The assertion is outside its time: set this machine's clock, and where the platform issues the token, see "
    "that it renews it",
    70021: "Entra expects another federated token: compare issuer, subject and audience of the app's federated "
    "credential with the token of {credential}",
    700211: "Entra trusts another issuer: correct the issuer in the app's federated credential, or {credential}",
    700212: "Entra expects another audience: ask the platform for a token for api://AzureADTokenExchange (the audience "
    "in the app's federated credential)",
    700213: "Entra trusts another subject: correct the subject in the app's federated credential, or {credential}",
    700229: "This kind of token cannot sign the app in: use a token of a workload in {credential}, a client secret or "
    "a certificate",
    700016: "The app is not known in that tenant: correct {app}.client_id and make sure that the app is multi-tenant. "
    + OPEN_LINK,
    7000229: "The app is not in that tenant yet. " + OPEN_LINK,
    65001: "Nobody has consented for that tenant. " + OPEN_LINK,
    90099: "The app is not authorised for that customer. " + OPEN_LINK,
    7000112: "The app is disabled in that tenant: have the customer's admin enable the enterprise application",
    90002: "There is no such tenant: correct {place}.tenant_id, or graph.cloud for a national cloud",
    900023: "{place}.tenant_id is malformed: write the tenant's id as Entra shows it",
    9001023: "{place}.tenant_id must be one tenant's id, not common or consumers",
    90038: "The tenant lives in another national cloud: set graph.cloud to that cloud, and use an app of that cloud",
    900382: "The tenant lives in another national cloud: set graph.cloud to that cloud, and use an app of that cloud",
    500011: "That cloud knows no Graph at this address: correct graph.url, or set graph.cloud in its place",
    53003: "The customer's Conditional Access blocks the app: have its service principal excluded, or the address of "
    "this machine allowed",
    530032: "A security policy of the customer blocks the app: have the customer's admin allow it",
}


def codes_of(answer: Mapping[str, Any]) -> list[int]:
    """The AADSTS codes in an answer of the sign-in service, first the most telling one; empty where there is none."""
    listed = answer.get("error_codes")
    codes = [code for code in listed if isinstance(code, int)] if isinstance(listed, list) else []
    return codes or [int(found) for found in CODE.findall(str(answer.get("error_description", "")))[:3]]
