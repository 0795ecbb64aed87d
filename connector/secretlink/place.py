"""Roughly where an IP address is, what network it belongs to, and which address a request really came from.

Without a file of the operator's the country comes from `iptocc`: the country in whose name the address block is
registered, which need not be where the person sits. Hence "(approx.)" in every wording, and never anything finer than
the source knows. All of this labels what happened, for people to judge; nothing is ever decided by it.
"""

from __future__ import annotations

import functools
import importlib.metadata
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import iptocc

from connector.errors import ConfigError

if TYPE_CHECKING:
    import maxminddb

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_ADDRESS_WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)
_REGISTRY: Final = "iptocc"
_LONGEST_CITY: Final = 120
_LONGEST_SOURCE: Final = 64
_MOST_HOPS: Final = 32
_MOST_REMEMBERED: Final = 1024
_LONGEST_ADDRESS: Final = 100
"""Letters of an IPv6 address with brackets, a port and the name of an interface, and some more."""
_WIDEST_CITY_KILOMETRES: Final = 100
"""How unsure a file may be of a city that is still named; MaxMind's name some that they are hundreds unsure of."""

NETWORKS: Final[Mapping[str, str]] = {
    "tor": "through Tor",
    "vpn": "through a VPN",
    "proxy": "through a proxy",
    "hosting": "from a hosting provider",
}
"""What a network can be, from the most telling to the least, and how a place says it."""

# The claims that files make about an address, and ours. Absent means that nothing is claimed, not that it is untrue.
# Sources: https://dev.maxmind.com/geoip/docs/databases/anonymous-ip/binary (flat in Anonymous IP, under `traits` in
# Enterprise) and https://github.com/ipinfo/sample-database, "Privacy Detection" (flat); both read 2026-11-22.
_CLAIMS: Final = (
    ("is_tor_exit_node", "tor"),
    ("tor", "tor"),
    ("is_anonymous_vpn", "vpn"),
    ("vpn", "vpn"),
    ("is_public_proxy", "proxy"),
    ("is_residential_proxy", "proxy"),
    ("proxy", "proxy"),
    ("relay", "proxy"),
    ("is_hosting_provider", "hosting"),
    ("hosting", "hosting"),
)


@dataclass(frozen=True)
class Place:
    """Roughly where.

    Attributes:
        country: Two-letter code, ISO 3166-1.
        city: Only from a city file that is sure enough of it; `None` otherwise.
        source: Where the knowledge comes from, with its version or day.
        network: What kind of network it is, a key of `NETWORKS`; `None` where no file claims anything.
    """

    country: str
    city: str | None
    source: str
    network: str | None = None

    @property
    def precision(self) -> str:
        """What the knowledge is about: `city`, `country`, or `registry-country`, in whose name the block is held."""
        if self.city:
            return "city"
        return "registry-country" if self.source.startswith(_REGISTRY) else "country"

    @property
    def words(self) -> str:
        """For people: `United Kingdom (approx.)`, `Leeds, United Kingdom (approx.), through a VPN`."""
        country = country_name(self.country)
        place = f"{self.city}, {country} (approx.)" if self.city else f"{country} (approx.)"
        network = NETWORKS.get(self.network or "")
        return f"{place}, {network}" if network else place


class Places:
    """Looks addresses up. One for the life of the process; close it at the end.

    Files are read where they lie, so an operator who renews one must rename the new one over it (as `geoipupdate` does)
    and restart the service; writing into a file that is in use ends the process.
    """

    def __init__(self, mmdb: Path | None = None, network_mmdb: Path | None = None) -> None:
        """Open the sources.

        Args:
            mmdb: A city or country file in MaxMind's format that the operator has a licence for; `None` for the
                country table that comes with `iptocc`.
            network_mmdb: A file in that format about anonymous and hosting networks; `None` for none. What `mmdb` says
                about networks counts as well.

        Raises:
            ConfigError: A file is missing or not such a file.
        """
        self._readers: list[maxminddb.Reader] = []
        # A visitor asks several times within a minute, and what is said of an address stays the same until the end.
        self._remembered = functools.lru_cache(maxsize=_MOST_REMEMBERED)(self._look_up)
        try:
            self._places = self._open(mmdb, "geo.mmdb")
            self._networks = self._open(network_mmdb, "geo.network")
        except ConfigError:
            self.close()
            raise
        self._source = _name_of(self._places) if self._places else f"{_REGISTRY} {importlib.metadata.version('iptocc')}"

    def find(self, ip: str | None) -> Place | None:
        """The place of an address; `None` for private, unknown or unreadable ones."""
        return None if ip is None else self._remembered(ip)

    def _look_up(self, ip: str) -> Place | None:
        record = _record(self._places, ip)
        country, city = _where(record) if self._places else (iptocc.country_code(ip), None)
        return Place(country, city, self._source, self._network(ip, record)) if country else None

    def network_of(self, ip: str | None) -> str | None:
        """What kind of network an address belongs to, a key of `NETWORKS`; `None` where no file claims anything."""
        if ip is None or not self._readers:
            return None
        return self._network(ip, _record(self._places, ip))

    def close(self) -> None:
        """Close the files, if there are any. May be called twice."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._places = self._networks = None
        self._remembered.cache_clear()

    def _network(self, ip: str, place: object) -> str | None:
        if not self._readers:
            return None
        claimed = _claims(place) | _claims(_record(self._networks, ip))
        return next((network for network in NETWORKS if network in claimed), None)

    def _open(self, file: Path | None, key: str) -> maxminddb.Reader | None:
        if file is None:
            return None
        import maxminddb  # here, because a service without files of its own does without

        try:
            reader = maxminddb.open_database(str(file))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigError(
                f"The file {file} cannot be read ({type(error).__name__}). "
                f"Check {key}: it must be a .mmdb file that this user may read, or null."
            ) from error
        self._readers.append(reader)
        return reader


def network_in(labels: str | None) -> str | None:
    """The network among the labels of a visit (`robot_name,hosting`), a key of `NETWORKS`; `None` for none."""
    return next((label for label in (labels or "").split(",") if label in NETWORKS), None)


def _name_of(reader: maxminddb.Reader) -> str:
    """The kind of a file and its day: a place is only as good as its file is new."""
    metadata = reader.metadata()
    day = datetime.fromtimestamp(metadata.build_epoch, UTC).date()
    return f"{str(metadata.database_type)[: _LONGEST_SOURCE - len(' of 2026-11-22')]} of {day}"


def _record(reader: maxminddb.Reader | None, ip: str) -> object:
    """What a file says about an address; `None` for nothing. A damaged file must cost the place, never the link."""
    if reader is None:
        return None
    import maxminddb

    try:
        return reader.get(ip)
    except (ValueError, maxminddb.InvalidDatabaseError):  # an IPv6 address in a file of IPv4; a damaged file
        return None


def _where(record: object) -> tuple[str | None, str | None]:
    """Country code and city that a record names.

    MaxMind's and DB-IP's records are nested, IPinfo's flat (`country` is a code, or a name beside `country_code`).
    """
    if _at(record, "traits", "is_anycast") is True:
        return None, None  # one address at many places of the world
    candidates = (
        _at(record, "country", "iso_code"),
        _at(record, "country_code"),
        _at(record, "country"),
        _at(record, "registered_country", "iso_code"),  # all that is known of some networks
    )
    country = next((code.upper() for code in candidates if isinstance(code, str) and _COUNTRY.fullmatch(code)), None)
    if country is None:
        return None, None
    radius = _at(record, "location", "accuracy_radius")  # kilometres; DB-IP and IPinfo give none
    if isinstance(radius, int | float) and radius > _WIDEST_CITY_KILOMETRES:
        return country, None
    city = _at(record, "city", "names", "en") or _at(record, "city")
    return country, _one_line(city)[:_LONGEST_CITY] or None if isinstance(city, str) else None


def _claims(record: object) -> frozenset[str]:
    """What a record claims about the network. Some files write their booleans as text."""
    return frozenset(
        network
        for name, network in _CLAIMS
        for value in (_at(record, name), _at(record, "traits", name))
        if value is True or (isinstance(value, str) and value.lower() == "true")
    )


def _at(record: object, *path: str) -> object:
    for key in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


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
            parsed.append(_unmapped(ipaddress.ip_network(text.strip())))
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

    No other header counts. `Forwarded` (RFC 7239) says the same in other words, but a proxy that appends to one of the
    two passes the other on as the client wrote it: reading both would let a stranger choose. The same goes for
    `X-Real-IP` and the headers of content networks.
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
    bare = text.strip()
    return _parse_bare(bare) if len(bare) <= _LONGEST_ADDRESS else None


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _parse_bare(bare: str) -> IpAddress | None:
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1]
    if dressed := _ADDRESS_WITH_PORT.fullmatch(bare):
        bare = dressed["v6"] if dressed["v6"] is not None else dressed["v4"]
        if dressed["v6"] is not None and ":" not in bare:
            return None  # "[192.0.2.1]" is no address
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _unmapped(network: IpNetwork) -> IpNetwork:
    """A network of IPv4 addresses in IPv6 dress as one of IPv4: addresses are compared without that dress."""
    inside = network.network_address
    if isinstance(inside, ipaddress.IPv6Address) and inside.ipv4_mapped and network.prefixlen >= 96:
        return ipaddress.ip_network((inside.ipv4_mapped, network.prefixlen - 96))
    return network
