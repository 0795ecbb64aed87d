"""What the link service needs to know to run. The YAML file is read elsewhere and mapped to this."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from connector.errors import ConfigError
from connector.secretlink.place import parse_networks
from connector.secretlink.seal import Pepper
from connector.secretlink.service.api.keys import PLAIN, ApiKey, Scope, digest_of, is_key_name
from connector.secretlink.service.signature import read_secret
from connector.secretlink.service.store.chain import EventKind

if TYPE_CHECKING:
    from connector.config import HashedKeySection, LinkServerSettings, WebhookSection

LEAST_API_KEY_LETTERS: Final = 24


@dataclass(frozen=True)
class WebhookOptions:
    """Whom to tell what happened. `repr` shows no secret.

    Attributes:
        url: A path or query in it may be a secret of the receiver, so it is not shown.
        secrets: With which deliveries are signed; the first is the current one.
        kinds: Of events that are told.
        ca_bundle: PEM file that replaces the system's authorities; `None` for the system's.
        proxy: Address of an HTTP proxy; `None` for none.
    """

    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    kinds: frozenset[str]
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LinkServiceOptions:
    """How to run one link service. `repr` shows no secret.

    Attributes:
        database: SQLAlchemy address; may hold a password, so it is not shown.
        listen_host: Address to listen on.
        listen_port: Port; 0 lets the system choose.
        url: What people open, without a path: `https://links.example.com`.
        pepper: See `seal.Pepper`.
        old_peppers: Those before, while something of theirs still counts; see `peppers`.
        api_keys: Whole keys that may do everything; one, or two while rotating.
        hashed_keys: Keys of which only the digest is known, each with its own rights. There is at least one key of
            either sort.
        trusted_proxies: Networks whose `X-Forwarded-For` counts; none by default.
        mmdb: City or country file for places; `None` for the country table that comes along.
        network_mmdb: File that says which addresses belong to VPNs, proxies and hosting providers; `None` for none.
        brand_name: Who helps, on pages of links that name nobody.
        brand_phone: Their number, as people write it.
        brand_url: Where they can be reached; https or http.
        brand_colour: Accent of the page, `#rrggbb`.
        brand_logo: Their picture, on pages of links that name nobody; see `assets.StaticFiles`.
        qr: Whether a shown password can be had as a QR code too.
        retention: How long an ended link's tombstone and its events are kept.
        ip_retention: After how long what is personal in an event (address, city) is blanked; `None`: with
            `retention`.
        mask_ip: Whether addresses are masked before they are written at all.
        webhook: Whom to tell what happened; `None`: nobody, they ask.
    """

    database: str = field(repr=False)
    listen_host: str
    listen_port: int
    url: str
    pepper: bytes = field(repr=False)
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    hashed_keys: tuple[ApiKey, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    mmdb: Path | None = None
    network_mmdb: Path | None = None
    brand_name: str | None = None
    brand_phone: str | None = None
    brand_url: str | None = None
    brand_colour: str | None = None
    brand_logo: Path | None = None
    qr: bool = False
    retention: timedelta = timedelta(days=90)
    ip_retention: timedelta | None = None
    mask_ip: bool = False
    webhook: WebhookOptions | None = None
    old_peppers: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def from_settings(cls, settings: LinkServerSettings, *, folder: Path) -> Self:
        """The options that the link service's file asks for.

        Args:
            folder: What relative paths of the file count from.

        Raises:
            ConfigError: With every problem found.
        """
        # Imported here: with pydantic and YAML it costs 12 MB, and the service itself does without.
        from connector.config import HashedKeySection, split_listen

        host, port = split_listen(settings.listen)
        problems: list[str] = []
        webhook: WebhookOptions | None = None
        try:
            webhook = _read_webhook(settings.webhook, folder) if settings.webhook else None
        except ConfigError as wrong:
            problems += wrong.problems
        options = cls(
            database=settings.database,
            listen_host=host,
            listen_port=port,
            url=settings.url,
            pepper=settings.pepper.reveal().encode(),
            old_peppers=tuple(pepper.reveal().encode() for pepper in settings.old_peppers),
            api_keys=tuple(key.reveal() for key in settings.api_keys if not isinstance(key, HashedKeySection)),
            hashed_keys=tuple(_read_key(key) for key in settings.api_keys if isinstance(key, HashedKeySection)),
            trusted_proxies=settings.trusted_proxies,
            mmdb=folder / settings.geo.mmdb if settings.geo.mmdb else None,
            network_mmdb=folder / settings.geo.network if settings.geo.network else None,
            retention=settings.retention,
            ip_retention=settings.ip_retention,
            mask_ip=settings.mask_ip,
            webhook=webhook,
            brand_name=settings.support.name,
            brand_phone=settings.support.phone or None,
            brand_url=settings.support.url or None,
            brand_colour=settings.support.colour,
            brand_logo=folder / settings.support.logo if settings.support.logo else None,
            qr=settings.support.qr,
        )
        problems += options._problems()
        for key, file in (
            ("geo.mmdb", options.mmdb), ("geo.network", options.network_mmdb), ("support.logo", options.brand_logo)
        ):  # fmt: skip
            if file is not None and not _is_file(file):
                problems.append(f"{key}: there is no file {file} for this user. Correct the path, or leave it out.")
        if problems:
            raise ConfigError(problems)
        return options

    def every_key(self) -> tuple[ApiKey, ...]:
        """Every key that opens the API."""
        plain = (ApiKey(f"{PLAIN}{place}", digest_of(key)) for place, key in enumerate(self.api_keys, start=1))
        return (*plain, *self.hashed_keys)

    def check(self) -> None:
        """Look for what cannot work.

        Raises:
            ConfigError: With every problem found.
        """
        if problems := self._problems():
            raise ConfigError(problems)

    def _problems(self) -> list[str]:
        problems: list[str] = []
        for pepper in (self.pepper, *self.old_peppers):
            try:
                Pepper(pepper)
            except ConfigError as wrong:
                problems += wrong.problems
        parts = urlsplit(self.url)
        more = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or more:
            problems.append(
                f"url: {self.url!r} cannot be used. Write it like https://links.example.com, without a path."
            )
        if not self.api_keys and not self.hashed_keys:
            problems.append("api_keys: there is none. Make one with: connector links new-key")
        if any(len(key) < LEAST_API_KEY_LETTERS for key in self.api_keys):
            problems.append(
                f"api_keys: one is shorter than {LEAST_API_KEY_LETTERS} letters. Make one with: connector links new-key"
            )
        if len(set(self.api_keys)) < len(self.api_keys):
            problems.append("api_keys: the same plain secret is there twice. Take one out: a new one has to differ.")
        problems += [
            f"api_keys: the log itself uses the name {key.name!r}. Give that key another one."
            for key in self.hashed_keys
            if not is_key_name(key.name)
        ]
        if self.retention < timedelta(days=1):
            problems.append("retention: it must be a day or more, so that the connector has read every event before.")
        if self.ip_retention is not None and not timedelta(days=1) <= self.ip_retention <= self.retention:
            problems.append(
                "ip_retention: it must be a day or more, and no longer than retention. Leave it out for that."
            )
        return problems


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that this user may not enter
        return False


def _read_webhook(section: WebhookSection, folder: Path) -> WebhookOptions:
    problems: list[str] = []
    secrets: list[bytes] = []
    for name, secret in (("secret", section.secret), *(("old_secrets", old) for old in section.old_secrets)):
        try:
            secrets.append(read_secret(secret.reveal()))
        except ValueError as error:
            problems.append(f"webhook.{name}: {error}. Make one as docs/links-api.md says, for both sides.")
    unknown = sorted(set(section.kinds) - {kind.value for kind in EventKind})
    if unknown:
        known = ", ".join(sorted(EventKind))
        problems.append(f"webhook.kinds: {', '.join(unknown)}: there is no such event. Use any of: {known}.")
    ca_bundle = folder / section.ca_bundle if section.ca_bundle else None
    if ca_bundle is not None:
        problems += _problems_of_bundle(ca_bundle)
    if problems:
        raise ConfigError(problems)
    return WebhookOptions(
        url=section.url,
        secrets=tuple(secrets),
        kinds=frozenset(section.kinds),
        ca_bundle=str(ca_bundle) if ca_bundle else None,
        proxy=section.proxy,
    )


def _problems_of_bundle(file: Path) -> list[str]:
    import ssl  # here, because a service without a webhook does without

    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:  # of OpenSSL too
        why = getattr(error, "reason", None) or error.strerror
        return [
            f"webhook.ca_bundle: {file} cannot be used ({why}). Name a file with certificates in PEM, or leave it out."
        ]
    return []


def _read_key(section: HashedKeySection) -> ApiKey:
    return ApiKey(
        name=section.name,
        digest=bytes.fromhex(section.sha256),
        scopes=frozenset(Scope(scope) for scope in section.scopes),
        expires=section.expires,
        networks=parse_networks(section.networks),
    )
