"""Which address counts as the visitor's, and how a place is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.errors import ConfigError
from connector.secretlink.agent import name_agent, suspect_of
from connector.secretlink.place import Place, Places, client_ip, country_name, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's claim about itself
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["8.8.8.8, 198.51.100.1"], "198.51.100.1"),  # the left-most is the client's own claim
        ("10.0.0.1", ["8.8.8.8, 198.51.100.1, 10.0.0.7"], "198.51.100.1"),
        ("10.0.0.1", ["8.8.8.8", "198.51.100.1, 10.0.0.7"], "198.51.100.1"),  # two headers are one list
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),  # all ours: the farthest
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ['"[2001:db8::1]:4711"'], "2001:db8::1"),
        ("2001:db8:1::5", ["2001:db8::1%eth0"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], None),
        ("a unix socket", ["198.51.100.1"], None),
    ],
)
def test_the_clients_address_is_read_from_the_right_over_trusted_proxies_only(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert client_ip(peer, forwarded, PROXIES) == expected


def test_without_trusted_proxies_no_header_counts() -> None:
    assert client_ip("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"


def test_what_is_longer_than_any_address_is_not_read() -> None:
    for letters, ip in ((80, "fe80::1"), (200, "10.0.0.1")):
        assert client_ip("10.0.0.1", [f"fe80::1%{'a' * letters}"], PROXIES) == ip


def test_wrong_networks_are_all_named_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_networks(["10.0.0.1/8", "10.0.0.0/8", "proxy.example.com"])
    assert len(refusal.value.problems) == 2


def test_a_place_is_a_country_and_says_that_it_is_approximate() -> None:
    places = Places()
    found = places.find("81.2.69.160")
    assert found is not None
    assert found.words == "United Kingdom (approx.)"
    assert found.source.startswith("iptocc ")
    for nowhere in (None, "127.0.0.1", "10.1.2.3", "::1", "nonsense", ""):
        assert places.find(nowhere) is None
    places.close()


def test_a_city_file_may_name_the_city() -> None:
    assert Place("GB", "Leeds", "GeoLite2-City").words == "Leeds, United Kingdom (approx.)"


def test_countries_have_names_and_unknown_codes_stay_codes() -> None:
    assert [country_name(code) for code in ("DE", "CI", "HK", "XK", "Q9")] == [
        "Germany", "Côte d’Ivoire", "Hong Kong", "Kosovo", "Q9"
    ]  # fmt: skip


def test_a_place_file_that_is_none_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.mmdb"
    wrong.write_bytes(b"not a database")
    with pytest.raises(ConfigError, match=r"geo\.mmdb"):
        Places(wrong)


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "name", "suspect"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Safari/537.36 Edg/156.0.0.0",
            "Edge 156 on Windows",
            "none",
        ),
        (f"{IPHONE} Version/19.1 Mobile/15E148 Safari/604.1", "Safari 19 on iPhone", "none"),
        (f"Mozilla/5.0 (Linux; Android 16; K) {WEBKIT} Mobile Safari/537.36", "Chrome 156 on Android", "none"),
        (f"Mozilla/5.0 (Linux; Android 13; CUBOT P80) {WEBKIT} Mobile Safari/537.36", "Chrome 156 on Android", "none"),
        (f"Mozilla/5.0 (compatible; Googlebot/2.1; CUBOT P80) {WEBKIT}", "Chrome 156", "robot_name"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox 150 on Linux", "none"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", None, "robot_name"),
        ("python-requests/2.34", None, "robot_name"),
        ("", None, "no_name"),
        (None, None, "no_name"),
    ],
)
def test_browsers_are_named_for_people(user_agent: str | None, name: str | None, suspect: str) -> None:
    assert name_agent(user_agent) == name
    assert suspect_of(user_agent, method="GET") == suspect
