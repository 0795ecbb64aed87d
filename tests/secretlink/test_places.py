"""Places and networks from files of the operator's, made here: never finer, and never more, than the file says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from starlette.requests import Request

from connector.errors import ConfigError
from connector.secretlink.agent import suspect_of
from connector.secretlink.place import NETWORKS, Place, Places, client_ip, network_in, parse_networks
from connector.secretlink.service.pages.visitors import Visitors
from connector.secretlink.service.store.chain import Event

HOME = "198.51.100.7"
LEEDS = {
    "city": {"names": {"en": "Leeds", "de": "Leeds"}},
    "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
    "registered_country": {"iso_code": "IE"},
    "location": {"accuracy_radius": 20, "latitude": 53.8, "longitude": -1.55},
}

MakeFile = Callable[..., Path]
OpenPlaces = Callable[..., Places]


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Writes a `.mmdb` file that says these things about these networks."""

    def make(said: Mapping[str, Mapping[str, Any]], *, kind: str = "GeoLite2-City", ip_version: int = 6) -> Path:
        writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=kind)
        for network, record in said.items():
            writer.insert_network(IPSet([network]), record)
        path = tmp_path / f"{kind}{len(list(tmp_path.iterdir()))}.mmdb"
        writer.to_db_file(str(path))
        return path

    return make


@pytest.fixture
def open_places() -> Iterator[OpenPlaces]:
    opened: list[Places] = []

    def make(*files: Path | None) -> Places:
        opened.append(Places(*files))
        return opened[-1]

    yield make
    for places in opened:
        places.close()


def found(places: Places, ip: str = HOME) -> Place:
    place = places.find(ip)
    assert place is not None
    return place


# ---------------------------------------------------------------- never finer than the file


def test_a_city_file_names_the_city_and_its_own_day(make_file: MakeFile, open_places: OpenPlaces) -> None:
    place = found(open_places(make_file({"198.51.100.0/24": LEEDS, "2001:db8::/32": LEEDS})))
    assert (place.words, place.precision) == ("Leeds, United Kingdom (approx.)", "city")
    assert place.source == f"GeoLite2-City of {datetime.now(UTC).date()}"
    assert found(open_places(make_file({"2001:db8::/32": LEEDS})), "2001:db8::7").city == "Leeds"


def test_what_is_said_of_an_address_is_remembered_until_the_files_are_closed(
    make_file: MakeFile, open_places: OpenPlaces
) -> None:
    places = open_places(make_file({"198.51.100.0/24": LEEDS}))
    assert found(places) is found(places)
    assert found(places, "198.51.100.8") == found(places)
    assert places.find("192.0.2.1") is None
    places.close()
    assert places.find(HOME) is None


def test_a_country_file_never_names_a_city(make_file: MakeFile, open_places: OpenPlaces) -> None:
    said = {"198.51.100.0/24": {"country": {"iso_code": "GB"}}}
    place = found(open_places(make_file(said, kind="GeoLite2-Country")))
    assert (place.city, place.words, place.precision) == (None, "United Kingdom (approx.)", "country")


@pytest.mark.parametrize(("radius", "city"), [(100, "Leeds"), (101, None), (1000, None), (20.5, "Leeds")])
def test_a_city_that_the_file_is_unsure_of_is_not_named(
    make_file: MakeFile, open_places: OpenPlaces, radius: float, city: str | None
) -> None:
    said = {"198.51.100.0/24": {**LEEDS, "location": {"accuracy_radius": radius}}}
    place = found(open_places(make_file(said)))
    assert (place.country, place.city) == ("GB", city)


def test_the_country_of_the_registration_stands_in_where_no_other_is_known(
    make_file: MakeFile, open_places: OpenPlaces
) -> None:
    said = {"198.51.100.0/24": {"registered_country": {"iso_code": "IE"}, "location": {"accuracy_radius": 1000}}}
    assert found(open_places(make_file(said))).words == "Ireland (approx.)"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"continent": {"code": "EU"}},
        {"country": {"iso_code": ""}},
        {"country": {"iso_code": "GBR"}},
        {"country": {"iso_code": 44}},
        {"country": "Atlantis"},
        {"city": {"names": {"en": "Leeds"}}},
        {**LEEDS, "traits": {"is_anycast": True}},  # one address, everywhere at once
    ],
)
def test_no_country_is_no_place(make_file: MakeFile, open_places: OpenPlaces, record: dict[str, Any]) -> None:
    places = open_places(make_file({"198.51.100.0/24": record, "203.0.113.0/24": LEEDS}))
    assert places.find(HOME) is None
    assert places.find("203.0.113.1") is not None, "the file is read"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"country": "JP", "country_name": "Japan", "asn": "AS2519"}, "Japan (approx.)"),
        ({"country": "Japan", "country_code": "JP"}, "Japan (approx.)"),
        ({"country": "GB", "city": "Leeds", "region": "England"}, "Leeds, United Kingdom (approx.)"),
    ],
)
def test_flat_records_are_read_as_well(
    make_file: MakeFile, open_places: OpenPlaces, record: dict[str, Any], words: str
) -> None:
    assert found(open_places(make_file({"198.51.100.0/24": record}, kind="ipinfo sample.mmdb"))).words == words


def test_a_name_from_a_file_is_one_short_line(make_file: MakeFile, open_places: OpenPlaces) -> None:
    said = {"198.51.100.0/24": {**LEEDS, "city": {"names": {"en": "Le\neds\u202e " + "x" * 300}}}}
    city = found(open_places(make_file(said))).city
    assert city is not None
    assert city.startswith("Le eds x")
    assert len(city) == 120


def test_an_address_that_the_file_cannot_hold_has_no_place(make_file: MakeFile, open_places: OpenPlaces) -> None:
    places = open_places(make_file({"198.51.100.0/24": LEEDS}, ip_version=4))
    assert found(places).city == "Leeds"
    for nowhere in ("2001:db8::1", "203.0.113.1", "10.0.0.1", "nonsense", "", None):
        assert places.find(nowhere) is None


def test_a_damaged_file_costs_the_place_and_nothing_else(make_file: MakeFile, open_places: OpenPlaces) -> None:
    whole = make_file({"198.51.100.0/24": LEEDS})
    content = whole.read_bytes()
    metadata = content.index(b"\xab\xcd\xefMaxMind.com")
    data = content.index(b"\x00" * 16) + 16
    damaged = whole.with_name("damaged.mmdb")
    damaged.write_bytes(content[:data] + b"\xff" * (metadata - data) + content[metadata:])
    places = open_places(damaged, damaged)
    assert places.find(HOME) is None
    assert places.network_of(HOME) is None


def test_an_open_file_may_be_renewed_by_a_rename(make_file: MakeFile, open_places: OpenPlaces) -> None:
    path = make_file({"198.51.100.0/24": LEEDS})
    places = open_places(path)
    newer = make_file({"198.51.100.0/24": {"country": {"iso_code": "FR"}}})
    if os.name != "nt":  # Windows keeps an open file from being replaced at all
        newer.replace(path)
        assert found(places).city == "Leeds", "until the restart"
        assert found(open_places(path)).words == "France (approx.)"


@pytest.mark.parametrize(("place", "key"), [(0, r"geo\.mmdb"), (1, r"geo\.network")])
@pytest.mark.parametrize("content", [None, b"", b"not a database"])
def test_a_file_that_cannot_be_read_is_named_with_its_key(
    tmp_path: Path, make_file: MakeFile, place: int, key: str, content: bytes | None
) -> None:
    wrong = tmp_path / "wrong.mmdb"
    if content is not None:
        wrong.write_bytes(content)
    files = [make_file({"198.51.100.0/24": LEEDS})] * 2
    files[place] = wrong
    with pytest.raises(ConfigError, match=key):
        Places(*files)


# ---------------------------------------------------------------- networks: only what a file claims


@pytest.mark.parametrize(
    ("record", "network"),
    [
        ({"is_anonymous": True, "is_tor_exit_node": True, "is_hosting_provider": True}, "tor"),
        ({"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True}, "vpn"),
        ({"is_anonymous": True, "is_public_proxy": True}, "proxy"),
        ({"is_anonymous": True, "is_residential_proxy": True}, "proxy"),
        ({"is_anonymous": True, "is_hosting_provider": True}, "hosting"),
        ({"traits": {"is_hosting_provider": True}}, "hosting"),
        ({"vpn": True, "proxy": False, "tor": False, "hosting": True, "service": "Some VPN"}, "vpn"),
        ({"relay": "true", "vpn": ""}, "proxy"),
        ({"is_anonymous": True}, None),
        ({"autonomous_system_number": 64496, "autonomous_system_organization": "Example Hosting"}, None),
        ({"vpn": False, "hosting": "false", "is_tor_exit_node": 0}, None),
        ({"vpn": 1, "hosting": "yes"}, None),
    ],
)
def test_a_network_is_what_the_file_claims_and_nothing_is_concluded(
    make_file: MakeFile, open_places: OpenPlaces, record: dict[str, Any], network: str | None
) -> None:
    city = make_file({"198.51.100.0/24": LEEDS})
    places = open_places(city, make_file({"198.51.100.0/25": record}, kind="GeoIP2-Anonymous-IP"))
    assert found(places).network == network
    assert found(places, "198.51.100.200").network is None, "nothing is said about this one"
    words = f"Leeds, United Kingdom (approx.), {NETWORKS[network]}" if network else "Leeds, United Kingdom (approx.)"
    assert found(places).words == words


def test_the_city_file_may_say_it_too(make_file: MakeFile, open_places: OpenPlaces) -> None:
    said = {"198.51.100.0/24": {**LEEDS, "traits": {"is_anonymous_vpn": True}}}
    assert found(open_places(make_file(said, kind="GeoIP2-Enterprise"))).words.endswith(", through a VPN")


def test_a_network_is_known_even_where_no_place_is(make_file: MakeFile, open_places: OpenPlaces) -> None:
    places = open_places(None, make_file({"192.0.2.0/24": {"is_anonymous_vpn": True}}, kind="GeoIP2-Anonymous-IP"))
    assert places.find("192.0.2.1") is None, "addresses for documents are registered nowhere"
    assert places.network_of("192.0.2.1") == "vpn"
    assert places.network_of(None) is None
    assert places.network_of("81.2.69.160") is None


# ---------------------------------------------------------------- on the visitor


def request_of(peer: str | None, *headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    client = (peer, 50000) if peer else None
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "client": client})


def test_a_visitor_from_a_network_is_labelled_in_the_event_and_in_words(
    make_file: MakeFile, open_places: OpenPlaces
) -> None:
    network = make_file({"198.51.100.0/25": {"is_hosting_provider": True}}, kind="GeoIP2-Anonymous-IP")
    visitors = Visitors(open_places(make_file({"198.51.100.0/24": LEEDS}), network), ())
    robot = visitors.of(request_of(HOME, ("user-agent", "python-requests/2.34")))
    person = visitors.of(request_of(HOME, ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")))
    plain = visitors.of(request_of("198.51.100.200", ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")))
    assert (robot.suspect, person.suspect, plain.suspect) == ("robot_name,hosting", "hosting", "none")
    assert robot.place is not None
    event = Event(
        seq=1, link_id="link", ref=None, kind="revealed", at_ms=0,
        country=robot.place.country, city=robot.place.city, place_source=robot.place.source, suspect=robot.suspect,
    )  # fmt: skip
    assert event.place == robot.place, "an event that was read again says the same"
    assert event.place.words == "Leeds, United Kingdom (approx.), from a hosting provider"


def test_every_label_fits_into_its_column() -> None:
    machine = {suspect_of(None, method="HEAD"), suspect_of("", method="GET"), suspect_of("bot", method="GET")}
    assert max(len(f"{one},{network}") for one in machine for network in NETWORKS) <= 32
    assert {network_in(f"{one},{network}") for one in machine for network in NETWORKS} == set(NETWORKS)
    assert [network_in(labels) for labels in ("none", "", None, "vpnx", "robot_name")] == [None] * 5


# ---------------------------------------------------------------- odd headers

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["198.51.100.1:443"], "198.51.100.1"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["fe80::1%eth0"], "fe80::1"),
        (["[fe80::1%25eth0]:443"], "fe80::1"),
        (["[::ffff:198.51.100.1]:443"], "198.51.100.1"),
        (["198.51.100.1", "", "10.0.0.7"], "10.0.0.7"),  # an empty header is a hop that says nothing
        (["198.51.100.1,"], "10.0.0.1"),
        (["198.51.100.1 , \t10.0.0.7"], "198.51.100.1"),
        (["8.8.8.8", "198.51.100.1", "10.0.0.7", "2001:db8:1::2"], "198.51.100.1"),  # each proxy added its own header
        (["8.8.8.8, 198.51.100.1"] * 40, "198.51.100.1"),
        (["198.51.100.1"] + ["10.0.0.7"] * 100, "10.0.0.7"),  # more of our own than anybody has: not followed for ever
    ],
)
def test_addresses_come_in_many_dresses(forwarded: list[str], expected: str) -> None:
    assert client_ip("10.0.0.1", forwarded, PROXIES) == expected


@pytest.mark.parametrize(
    "hop",
    [
        "unknown", "_hidden", "localhost", "198.51.100", "198.51.100.1.1", "198.51.100.256", "010.0.0.9", "0x7f.0.0.1",
        "3325256705", "198.51.100.1:", "198.51.100.1:https", "198.51.100.1:123456", "[2001:db8::1", "2001:db8::1]",
        "[2001:db8::1]x", "[198.51.100.1]", "[]", "[]:443", '"198.51.100.1', "2001:db8::1::2", "198.51.100.1/32",
        "for=198.51.100.1", "198.51.100.1;proto=https", "\u0661\u0669\u0668.51.100.1",
    ],
)  # fmt: skip
def test_a_hop_that_is_no_address_ends_the_walk_at_the_last_known_one(hop: str) -> None:
    assert client_ip("10.0.0.1", [f"8.8.8.8, {hop}, 10.0.0.7"], PROXIES) == "10.0.0.7"
    assert client_ip(hop, ["8.8.8.8"], PROXIES) is None


def test_a_trusted_network_may_be_written_in_ipv6_dress() -> None:
    trusted = parse_networks(["::ffff:10.0.0.0/104"])
    assert client_ip("::ffff:10.0.0.1", ["198.51.100.1"], trusted) == "198.51.100.1"
    assert client_ip("10.0.0.1", ["198.51.100.1"], trusted) == "198.51.100.1"
    assert client_ip("11.0.0.1", ["198.51.100.1"], trusted) == "11.0.0.1"


def test_everything_may_be_trusted_and_then_the_farthest_counts() -> None:
    """A mistake in the configuration, but one that must not fail."""
    assert client_ip("10.0.0.1", ["8.8.8.8, 198.51.100.1"], parse_networks(["0.0.0.0/0"])) == "8.8.8.8"


@pytest.mark.parametrize(
    "header",
    [
        ("forwarded", "for=198.51.100.1"),
        ("forwarded", 'for="[2001:db8::1]:4711";proto=https, for=198.51.100.1'),
        ("x-real-ip", "198.51.100.1"),
        ("cf-connecting-ip", "198.51.100.1"),
        ("true-client-ip", "198.51.100.1"),
        ("x-client-ip", "198.51.100.1"),
        ("x-forwarded-for", "198.51.100.1, unknown"),
        ("x-forwarded-for", "198.51.100.1\xe9"),
    ],
)
def test_no_other_header_says_who_it_is_even_from_a_trusted_proxy(
    open_places: OpenPlaces, header: tuple[str, str]
) -> None:
    """A proxy that writes one of them passes the others on as a stranger wrote them."""
    visitors = Visitors(open_places(), PROXIES)
    assert visitors.of(request_of("10.0.0.1", header)).ip == "10.0.0.1"
    both = visitors.of(request_of("10.0.0.1", header, ("x-forwarded-for", "203.0.113.9")))
    assert both.ip == "203.0.113.9"
