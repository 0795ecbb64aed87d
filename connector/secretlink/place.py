"""Roughly where an IP address is, and which address a request really came from.

Without a city file the country comes from `iptocc`: the country in whose name the address block is registered, which
need not be where the person sits. Hence "(approx.)" in every wording, and never anything finer than the source knows.
"""

from __future__ import annotations

import functools
import importlib.metadata
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import iptocc
import maxminddb

from connector.errors import ConfigError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST_CITY: Final = 120
_MOST_HOPS: Final = 32


@dataclass(frozen=True)
class Place:
    """Roughly where.

    Attributes:
        country: Two-letter code, ISO 3166-1.
        city: Only from a city file; `None` otherwise.
        source: Where the knowledge comes from, with its version.
    """

    country: str
    city: str | None
    source: str

    @property
    def words(self) -> str:
        """For people: `United Kingdom (approx.)`, `Leeds, United Kingdom (approx.)`."""
        country = country_name(self.country)
        return f"{self.city}, {country} (approx.)" if self.city else f"{country} (approx.)"


class Places:
    """Looks places up. One for the life of the process; close it at the end."""

    def __init__(self, mmdb: Path | None = None) -> None:
        """Open the sources.

        Args:
            mmdb: A city or country file in MaxMind's format that the operator has a licence for; `None` for the
                country table that comes with `iptocc`.

        Raises:
            ConfigError: The file is missing or not such a file.
        """
        self._reader: maxminddb.Reader | None = None
        self._source = f"iptocc {importlib.metadata.version('iptocc')}"
        if mmdb is not None:
            try:
                self._reader = maxminddb.open_database(str(mmdb))
            except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
                raise ConfigError(
                    f"The place file {mmdb} cannot be read ({type(error).__name__}). "
                    "Check geo.mmdb: it must be a .mmdb file that this user may read, or null."
                ) from error
            self._source = str(self._reader.metadata().database_type)[:60]

    def find(self, ip: str | None) -> Place | None:
        """The place of an address; `None` for private, unknown or unreadable ones."""
        if ip is None:
            return None
        return _from_file(self._reader, ip, self._source) if self._reader else _from_registry(ip, self._source)

    def close(self) -> None:
        """Close the file, if there is one. May be called twice."""
        if self._reader:
            self._reader.close()


def _from_registry(ip: str, source: str) -> Place | None:
    country = iptocc.country_code(ip)
    return Place(country=country, city=None, source=source) if country else None


def _from_file(reader: maxminddb.Reader, ip: str, source: str) -> Place | None:
    try:
        record = reader.get(ip)
    except ValueError:
        return None
    country = _text_at(record, "country", "iso_code")
    if country is None or len(country) != 2:
        return None
    city = _text_at(record, "city", "names", "en")
    return Place(country=country.upper(), city=city[:_LONGEST_CITY] if city else None, source=source)


def _text_at(record: object, *path: str) -> str | None:
    for key in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record if isinstance(record, str) and record else None


def country_name(code: str) -> str:
    """The English name of a country, or the code itself for one that the table does not know."""
    return _country_names().get(code, code)


@functools.cache
def _country_names() -> Mapping[str, str]:
    content = resources.files("connector.secretlink").joinpath("countries.json").read_text("utf-8")
    names: dict[str, str] = json.loads(content)["names"]
    return names


def parse_networks(networks: Sequence[str]) -> tuple[IpNetwork, ...]:
    """Read the trusted proxies of the configuration.

    Raises:
        ConfigError: One of them is not an address or a network; every wrong one is named.
    """
    parsed: list[IpNetwork] = []
    problems: list[str] = []
    for text in networks:
        try:
            parsed.append(ipaddress.ip_network(text.strip()))
        except ValueError:
            problems.append(
                f"trusted_proxies: {text!r} is not an IP network. Write it like 10.0.0.5/32 or 2001:db8::/64, "
                "without host bits."
            )
    if problems:
        raise ConfigError(problems)
    return tuple(parsed)


def client_ip(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[IpNetwork]) -> str | None:
    """The address of the client, believing only the proxies that the operator named.

    Args:
        peer: The other end of the TCP connection.
        forwarded_for: Every `X-Forwarded-For` header of the request, in order.
        trusted: Networks of the operator's own proxies.

    The list is walked from the right, because each proxy appends on the right whom it saw: the first address that is
    not one of ours is the client, and everything to its left is the client's own claim. Something unreadable ends the
    walk at the last hop that was known.
    """
    address = _parse(peer or "")
    if address is None:
        return None
    hops = [hop for header in forwarded_for for hop in header.split(",")][-_MOST_HOPS:]
    for hop in reversed(hops):
        if not any(address in network for network in trusted if network.version == address.version):
            break
        named = _parse(hop)
        if named is None:
            break
        address = named
    return str(address)


def _parse(text: str) -> IpAddress | None:
    """An address without its port, zone or IPv4-in-IPv6 dress; `None` for anything else."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
