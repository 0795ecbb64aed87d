"""The sections of `connector.yaml` and of the link service's file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from connector.config.graph import GraphSection, MfaSection
from connector.config.values import (
    Address,
    ApiKeyValue,
    BrakeLimit,
    Database,
    Day,
    Duration,
    Listen,
    ProxyUrl,
    SecretValue,
    Section,
    Url,
    Zone,
)
from connector.core.brake import Limit
from connector.core.notice import NotifySubject
from connector.core.pair import PairRule
from connector.core.ports import HumanCheck, LinkMode
from connector.passwords import Policy

TENANT_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def _check_tenant_id(value: str) -> str:
    # The id becomes a part of addresses; the three names stand for any tenant, so that a token would be of any.
    if value.casefold() in ("common", "organizations", "consumers") or not TENANT_ID.fullmatch(value):
        raise ValueError(f"{value!r} is not one tenant: write its id as Entra shows it, or one of its domains")
    return value


TenantId = Annotated[str, AfterValidator(_check_tenant_id)]


def _read_switch(value: object) -> object:
    # YAML 1.1 takes a bare off for False.
    return "off" if value is False else value


Switchable = Annotated[HumanCheck, BeforeValidator(_read_switch)]
Locale = Literal["en", "de"]
Notify = Annotated[NotifySubject, BeforeValidator(_read_switch)]


def _read_client(value: object) -> str:
    # A blank one would be the id of every ticket without a customer.
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError("write the id or name of a client of the PSA, in quotes")
    return str(value)


class HttpSection(Section):
    ca_bundle: str | None = None
    proxy: ProxyUrl | None = None
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=60))] = timedelta(seconds=30)


class InboundSection(Section):
    listen: Listen = "127.0.0.1:8080"


class PasswordsSection(Section):
    """How new passwords are made."""

    policy: Policy = Policy.PASSPHRASE


class ProtectedSection(Section):
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class TenantLinksSection(Section):
    """What differs from the top-level `links` for one customer; `None`: nothing does."""

    mode: LinkMode | None = None
    human_check: Switchable | None = None
    locale: Locale | None = None


class TenantSection(Section):
    """One customer.

    Attributes:
        clients: Its ids in each PSA.
        approvers: Addresses of those who may approve for this customer.
        mfa: What an MFA reset keeps for this customer; `None`: what the top-level `mfa` says. The two are not added up.
        links: What is special about this customer's one-time links.
        notify_subject: How an account's owner is told of a reset; `None`: as the top-level `notify_subject` says.
        time_zone: For times in mails and on the link page; default: `support.time_zone`.
    """

    tenant_id: TenantId
    clients: dict[str, tuple[Annotated[str, BeforeValidator(_read_client)], ...]] = Field(default_factory=dict)
    approvers: tuple[Address, ...] = ()
    protected: ProtectedSection = ProtectedSection()
    mfa: MfaSection | None = None
    links: TenantLinksSection = TenantLinksSection()
    notify_subject: Notify | None = None
    time_zone: Zone | None = None


class SupportSection(Section):
    """The MSP, as people see it in mails and on the link page."""

    name: str = "IT Service Desk"
    phone: str = ""
    url: str = ""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#1f4e79"
    time_zone: Zone = "UTC"


class BrakeSection(Section):
    per_subject: BrakeLimit = Limit(3, timedelta(hours=24))
    per_requester: BrakeLimit = Limit(10, timedelta(hours=1))
    per_approver: BrakeLimit = Limit(20, timedelta(hours=1))
    per_tenant: BrakeLimit = Limit(30, timedelta(hours=1))
    overall: BrakeLimit = Limit(100, timedelta(hours=1))


class LinksSection(BaseModel):
    """What the connector itself needs of `links`; every other key belongs to the adapter of that kind.

    Attributes:
        mode: Who opens the sealed password: the link service (`path`), or the browser alone (`fragment`).
        human_check: What whoever opens a link has to type, if anything.
        locale: Language of the link's page.
        not_me_lifetime: How long "this was not me" in a mail can be pressed.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    kind: str = "builtin"
    lifetime: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=7))] = timedelta(minutes=60)
    views: Annotated[int, Field(ge=1, le=20)] = 2
    mode: LinkMode = LinkMode.PATH
    human_check: Switchable = HumanCheck.OFF
    locale: Locale = "en"
    not_me_lifetime: Annotated[Duration, Field(ge=timedelta(hours=1), le=timedelta(days=31))] = timedelta(days=7)

    @property
    def rest(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @classmethod
    def adapters_part(cls, section: Mapping[str, object]) -> dict[str, object]:
        """What of `links` is the adapter's own: all that stands there beside the keys above."""
        return {key: value for key, value in section.items() if key not in cls.model_fields}


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class SentrySection(Section):
    dsn: SecretValue


class ConnectorSettings(Section):
    """`connector.yaml`, checked."""

    environment: Literal["production", "demo"]
    database: Database
    poll_every: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=15)
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    inbound: InboundSection = InboundSection()
    http: HttpSection = HttpSection()
    psa: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    graph: GraphSection
    tenants: Annotated[dict[str, TenantSection], Field(min_length=1)]
    passwords: PasswordsSection = PasswordsSection()
    mfa: MfaSection = MfaSection()
    links: LinksSection
    mail: dict[str, Any]
    support: SupportSection = SupportSection()
    brake: BrakeSection = BrakeSection()
    pair_rule: PairRule = PairRule.SECOND_APPROVER
    notify_subject: Notify = NotifySubject.ALTERNATE_MAIL
    log: LogSection = LogSection()
    sentry: SentrySection | None = None

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @model_validator(mode="after")
    def _customers_are_mapped_once(self) -> ConnectorSettings:
        owner: dict[tuple[str, str], str] = {}
        for name, tenant in self.tenants.items():
            for psa, clients in tenant.clients.items():
                if psa not in self.psa:
                    raise ValueError(
                        f"tenants.{name}.clients names the PSA {psa!r}, but psa has only {_list(self.psa)}"
                    )
                for client in clients:
                    other = owner.setdefault((psa, client), name)
                    if other != name:
                        raise ValueError(
                            f"the client {client} of {psa} belongs to two tenants, {other} and {name}: "
                            "a reset would not know where to go. Leave it with one"
                        )
        ids: dict[str, str] = {}
        for name, tenant in self.tenants.items():
            other = ids.setdefault(tenant.tenant_id.casefold(), name)
            if other != name:
                raise ValueError(f"the tenants {other} and {name} have the same tenant_id: merge them into one")
        return self


# ---------------------------------------------------------------- the link service's file


class LinkSupportSection(SupportSection):
    """What only the link page shows.

    Attributes:
        logo: A picture (.png, .svg, .jpg, .webp; up to 200 kB) beside the name; relative paths count from the file's
            folder.
        qr: Whether a shown password can be had as a QR code too, for the phone of the person beside you.
    """

    logo: str | None = None
    qr: bool = False


class GeoSection(Section):
    """Files in MaxMind's format that the operator has a licence for; relative paths count from the file's folder.

    Attributes:
        mmdb: Where addresses are; without it, the country in whose name an address is registered.
        network: What addresses are: of a VPN, a proxy, a hosting provider.
    """

    mmdb: str | None = None
    network: str | None = None


def _check_network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8, without host bits") from None
    return value


Network = Annotated[str, AfterValidator(_check_network)]


class HashedKeySection(Section):
    """A key of the API of which only the SHA-256 is here; `connector links new-key` prints one with these lines.

    Attributes:
        name: By which logs know it.
        sha256: Of the whole key, 64 hexadecimal digits.
        expires: The first day (UTC) on which it opens nothing any more.
        networks: From where it works; empty: from anywhere.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
    scopes: Annotated[
        frozenset[Literal["links:create", "links:read", "links:revoke", "events:read"]], Field(min_length=1)
    ]
    expires: Day | None = None
    networks: tuple[Network, ...] = ()


def _kind_of_key(value: object) -> str:
    """`{file: ...}`, `{env: ...}` and what is wrong altogether are secrets; every other mapping is a hashed key."""
    hashed = isinstance(value, HashedKeySection) or (isinstance(value, Mapping) and not value.keys() <= {"file", "env"})
    return "key" if hashed else "secret"


ApiKeyEntry = Annotated[
    Annotated[ApiKeyValue, Tag("secret")] | Annotated[HashedKeySection, Tag("key")], Discriminator(_kind_of_key)
]
MOST_PLAIN_KEYS = 2


class WebhookSection(Section):
    """Whom the link service tells what happened, beside those who ask.

    Attributes:
        secret: `whsec_` and base64; what deliveries are signed with.
        old_secrets: Those before, while a receiver still knows only them; deliveries are signed with each.
        kinds: Of events that are told.
        ca_bundle: PEM file that replaces the system's authorities; relative paths count from the file's folder.
    """

    url: Url
    secret: SecretValue
    old_secrets: Annotated[tuple[SecretValue, ...], Field(max_length=3)] = ()
    kinds: Annotated[tuple[str, ...], Field(min_length=1)] = ("revealed", "expired", "revoked", "reported")
    ca_bundle: str | None = None
    proxy: ProxyUrl | None = None


class LinkServerSettings(Section):
    """The file of `connector serve-links`."""

    database: Database
    listen: Listen = "127.0.0.1:8081"
    url: Url
    pepper: SecretValue
    old_peppers: Annotated[tuple[SecretValue, ...], Field(max_length=5)] = ()
    api_keys: Annotated[tuple[ApiKeyEntry, ...], Field(min_length=1, max_length=50)]
    webhook: WebhookSection | None = None
    trusted_proxies: tuple[str, ...] = ()
    geo: GeoSection = GeoSection()
    retention: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=90)
    ip_retention: Annotated[Duration, Field(ge=timedelta(days=1))] | None = None
    mask_ip: bool = False
    support: LinkSupportSection = LinkSupportSection()
    log: LogSection = LogSection()

    @field_validator("api_keys")
    @classmethod
    def _keys_are_told_apart(cls, entries: tuple[ApiKeyEntry, ...]) -> tuple[ApiKeyEntry, ...]:
        hashed = [entry for entry in entries if isinstance(entry, HashedKeySection)]
        if len(entries) - len(hashed) > MOST_PLAIN_KEYS:
            raise ValueError(
                f"at most {MOST_PLAIN_KEYS} plain secrets, the old and the new one while they are rotated; "
                "make every further key with: connector links new-key"
            )
        for what, values in (("name", [one.name for one in hashed]), ("sha256", [one.sha256 for one in hashed])):
            if len(set(values)) < len(values):
                raise ValueError(f"two keys have the same {what}: give each its own")
        return entries

    @model_validator(mode="after")
    def _networks(self) -> LinkServerSettings:
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"trusted_proxies: {network!r} is not a network such as 10.0.0.0/8") from None
        return self


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "nothing"
