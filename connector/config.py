"""`connector.yaml` and the link service's file: read, checked, every problem at once.

Values come from the YAML file; an environment variable `CONNECTOR_<KEY>` (nested keys joined by `__`, for example
`CONNECTOR_POLL_EVERY=30s` or `CONNECTOR_GRAPH__URL=…`) beats the file. An unknown key is an error that names its
place. Secrets are never inline: `{file: PATH}` or `{env: NAME}`. Relative paths count from the file's own folder.

The sections of adapters (`psa.<name>`, `links`, `mail`) are validated by the adapter with the types of this module.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from connector.core.brake import Limit
from connector.core.secret import Secret
from connector.errors import ConfigError
from connector.passwords import Policy

DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True)
class Place:
    """Where a configuration is read: what relative paths and secrets refer to.

    Attributes:
        folder: Of the file that is read.
        production: Every address must then be https, loopback excepted.
        environ: Where `{env: NAME}` looks.
    """

    folder: Path
    production: bool
    environ: Mapping[str, str]


# ---------------------------------------------------------------- types for settings


def read_duration(value: object) -> timedelta:
    """`5s`, `60m`, `24h`, `7d` as a timedelta.

    Raises:
        ValueError: Anything else, a bare number included: its unit would be a guess.
    """
    if isinstance(value, timedelta):
        return value
    found = DURATION.match(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not a duration: write a number and a unit, such as 15s, 60m, 24h or 7d")
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])


def read_limit(value: object) -> Limit:
    """`3/24h` as a limit of the brake."""
    count, _, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not count.strip().isdigit() or not window:
        raise ValueError(f"{value!r} is not a limit: write a count and a duration, such as 3/24h")
    length = read_duration(window)
    if length <= timedelta(0):
        raise ValueError(f"{value!r} limits nothing: its duration must be longer than nothing")
    return Limit(int(count), length)


def _read_secret(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    place: Place = info.context or Place(Path(), True, os.environ)
    if not (isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("file", "env")):
        # The value itself stays out of the message: it may be the secret.
        raise ValueError("a secret is never written here: use {file: PATH} or {env: NAME}")
    (source, name), *_ = value.items()
    if source == "env":
        found = place.environ.get(str(name))
        if not found:
            raise ValueError(f"the environment variable {name} is not set or empty: set it, or use {{file: PATH}}")
        return Secret(found)
    path = place.folder / str(name)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as failure:
        raise ValueError(
            f"the secret file {path} cannot be read ({failure.strerror}): create it, or correct its path and rights"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"the secret file {path} is not text: write the secret into it as UTF-8") from None
    if not text:
        raise ValueError(f"the secret file {path} is empty: write the secret into it")
    return Secret(text)


def _check_url(value: str, info: ValidationInfo) -> str:
    place: Place | None = info.context
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is not an address: write it in full, such as https://example.com")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into an address")
    if (place is None or place.production) and parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(f"{value!r} must be https in production (only loopback addresses may be http)")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host.casefold() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is not host:port, such as 127.0.0.1:8080")
    return value


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{value!r} is not a time zone: write an IANA name such as Europe/London") from None
    return value


def _check_database(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("not a database address: write sqlite:////path/file.db or postgresql://user@host/db") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"{url.get_backend_name()} is not supported: use sqlite or postgresql")
    if url.password:
        raise ValueError("a password does not belong into the address: use a .pgpass file or PGPASSWORD")
    return value


Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Url = Annotated[str, AfterValidator(_check_url)]
SecretValue = Annotated[InstanceOf[Secret], BeforeValidator(_read_secret)]
Listen = Annotated[str, AfterValidator(_check_listen)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Database = Annotated[str, AfterValidator(_check_database)]
BrakeLimit = Annotated[InstanceOf[Limit], BeforeValidator(read_limit)]
Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


def split_listen(listen: str) -> tuple[str, int]:
    """`host:port` as its parts; brackets of an IPv6 address are taken off."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _read_client(value: object) -> str:
    # A blank one would be the id of every ticket without a customer.
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError("write the id or name of a client of the PSA, in quotes")
    return str(value)


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# ---------------------------------------------------------------- connector.yaml


class HttpSection(Section):
    ca_bundle: str | None = None
    proxy: str | None = None
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=60))] = timedelta(seconds=30)


class InboundSection(Section):
    listen: Listen = "127.0.0.1:8080"


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


class PasswordsSection(Section):
    """How new passwords are made."""

    policy: Policy = Policy.PASSPHRASE


class ProtectedSection(Section):
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class TenantSection(Section):
    """One customer.

    Attributes:
        clients: Its ids in each PSA.
        approvers: Addresses of those who may approve for this customer.
        mfa: What an MFA reset keeps for this customer; `None`: what the top-level `mfa` says. The two are not added up.
        time_zone: For times in mails and on the link page; default: `support.time_zone`.
    """

    tenant_id: str
    clients: dict[str, tuple[Annotated[str, BeforeValidator(_read_client)], ...]] = {}
    approvers: tuple[Address, ...] = ()
    protected: ProtectedSection = ProtectedSection()
    mfa: MfaSection | None = None
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
    """What the connector itself needs of `links`; every other key belongs to the adapter of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    kind: str = "builtin"
    lifetime: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=7))] = timedelta(minutes=60)
    views: Annotated[int, Field(ge=1, le=20)] = 2

    @property
    def rest(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


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


class GeoSection(Section):
    mmdb: str | None = None


class LinkServerSettings(Section):
    """The file of `connector serve-links`."""

    database: Database
    listen: Listen = "127.0.0.1:8081"
    url: Url
    pepper: SecretValue
    api_keys: Annotated[tuple[SecretValue, ...], Field(min_length=1, max_length=2)]
    trusted_proxies: tuple[str, ...] = ()
    geo: GeoSection = GeoSection()
    support: SupportSection = SupportSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _networks(self) -> LinkServerSettings:
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"trusted_proxies: {network!r} is not a network such as 10.0.0.0/8") from None
        return self


# ---------------------------------------------------------------- reading


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping.

    Raises:
        ConfigError: Not there, not readable, not YAML, a key given twice; with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise ConfigError(f"{path} cannot be read ({failure.strerror}). Check the path that was given.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        # The YAML reader repeats what it stumbled over, and that may be a secret: only our own words go on.
        what = failure.problem if isinstance(failure, _Refused) else "this is not YAML"
        raise ConfigError(f"{path}{line}: {what}. Correct that line.") from None
    except yaml.YAMLError:
        raise ConfigError(f"{path} is not YAML. Check it with a YAML editor.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold keys and values, but holds {type(data).__name__}.")
    return data


def load_connector(path: Path, *, environ: Mapping[str, str] | None = None) -> tuple[ConnectorSettings, Place]:
    """Read and check `connector.yaml`.

    Raises:
        ConfigError: With every problem of the file itself; adapter sections are checked by `wiring`.
    """
    data = _merge(read_yaml(path), _from_environment())
    place = Place(
        folder=path.resolve().parent,
        production=data.get("environment") != "demo",
        environ=os.environ if environ is None else environ,
    )
    return validate(ConnectorSettings, data, place, where=path.name), place


def load_link_server(path: Path, *, environ: Mapping[str, str] | None = None) -> LinkServerSettings:
    """Read and check the link service's file.

    Raises:
        ConfigError: With every problem.
    """
    place = Place(folder=path.resolve().parent, production=True, environ=os.environ if environ is None else environ)
    return validate(LinkServerSettings, read_yaml(path), place, where=path.name)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Mapping[str, object], place: Place, *, where: str) -> Model:
    """Check a section against its model.

    Args:
        where: Put before each problem: the file's name, or the section's place such as `psa.halo`.

    Raises:
        ConfigError: Every problem, with its place and what to do; values are never repeated from secrets.
    """
    try:
        return model.model_validate(dict(data), context=place)
    except ValidationError as failure:
        raise ConfigError([_sentence(problem, model, where) for problem in failure.errors()]) from None


def _sentence(problem: Any, model: type[BaseModel], where: str) -> str:
    steps = [str(step) for step in problem["loc"]]
    at = ".".join(steps)
    place = f"{where}: {at}" if at else where
    match problem["type"]:
        case "extra_forbidden":
            known = _keys_at(model, steps[:-1])
            close = difflib.get_close_matches(steps[-1], known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Known here: {_list(known)}." if known else ""
            return f"{place}: unknown key.{hint}"
        case "missing":
            return f"{place}: missing. Add it."
        case _:
            return f"{place}: {str(problem['msg']).removeprefix('Value error, ')}."


def _keys_at(model: type[BaseModel], steps: list[str]) -> list[str]:
    """Names that are allowed where an unknown key was found; empty when the place cannot be told."""
    current: object = model
    for step in steps:
        if isinstance(current, type) and issubclass(current, BaseModel):
            known = current.model_fields.get(step)
            current = known.annotation if known else None
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        if get_origin(current) is Union or isinstance(current, UnionType):
            current = next((kind for kind in get_args(current) if kind is not type(None)), None)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _from_environment() -> dict[str, Any]:
    """The keys of `ConnectorSettings` that are set as environment variables."""
    # Imported here: it costs 14 MB, and the link service does without.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

    class FromEnvironment(BaseSettings, ConnectorSettings):
        """Only read from: validated as `BaseSettings`, the secrets would not know their folder."""

        model_config = SettingsConfigDict(env_prefix="CONNECTOR_", env_nested_delimiter="__")

    try:
        return dict(EnvSettingsSource(FromEnvironment)())
    except SettingsError as failure:
        found = re.search(r'field "(\w+)"', str(failure))
        name = f"CONNECTOR_{found[1].upper()}" if found else "CONNECTOR_…"
        raise ConfigError(
            f"The environment variable {name} does not hold JSON. Write JSON, or set the single keys: {name}__<KEY>."
        ) from None


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return merged


def _list(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


class _Refused(yaml.constructor.ConstructorError):
    """A problem in our own words, which repeat no value."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key given twice is an error instead of the last one winning."""


def _strict_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise _Refused(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


def _strict_number(_: _StrictLoader, node: yaml.ScalarNode) -> int:
    # YAML 1.1 takes 012 for 10 and 12:30 for 750: as an id, that would be another customer's.
    if not PLAIN_NUMBER.fullmatch(node.value):
        what = "YAML takes this for another number: write it in quotes, or as a plain number"
        raise _Refused(None, None, what, node.start_mark)
    return int(node.value)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _strict_number)
_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _strict_mapping)
