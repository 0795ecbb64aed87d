"""Languages are data: one file each, with the same keys and the same places for values, and no words anywhere else."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from connector.secretlink.place import NETWORKS, Place
from connector.secretlink.seal import MOST_VIEWS
from connector.secretlink.service.pages.languages import FALLBACK, Language, Languages, _holds

PAGES = resources.files("connector.secretlink.service.pages")
FILES: Mapping[str, dict[str, Any]] = {
    file.name.removesuffix(".json"): json.loads(file.read_text("utf-8")) for file in PAGES.joinpath("locales").iterdir()
}
ENGLISH = FILES[FALLBACK]
OTHERS = sorted(FILES.keys() - {FALLBACK})
TEMPLATES = {file.name: file.read_text("utf-8") for file in PAGES.joinpath("templates").iterdir()}
SCRIPTS = {
    file.name: file.read_text("utf-8") for file in PAGES.joinpath("static").iterdir() if file.name.endswith(".js")
}
SOURCES = {
    path.name: path.read_text("utf-8")
    for path in (
        Path(str(PAGES.joinpath(name))) for name in ("languages.py", "link_pages.py", "alarm_pages.py", "render.py")
    )
}
# Chosen by a variable: the rest of the key is a word of the program.
COMPUTED = ("message.", "network.")


@pytest.fixture(scope="module")
def languages() -> Languages:
    return Languages()


@pytest.fixture
def english(languages: Languages) -> Language:
    return languages.named("en")


@pytest.fixture
def german(languages: Languages) -> Language:
    return languages.named("de")


def places_in(text: str) -> set[str]:
    """The braces of a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def forms_of(text: str | dict[str, str]) -> dict[str, str]:
    return text if isinstance(text, dict) else {"": text}


# ---------------------------------------------------------------- the files


def test_there_are_at_least_two_languages() -> None:
    assert {"en", "de"} <= FILES.keys()


@pytest.mark.parametrize("tag", FILES)
def test_a_file_is_named_after_its_language(tag: str) -> None:
    assert FILES[tag]["tag"] == tag
    assert FILES[tag]["name"]
    assert FILES[tag]["direction"] in ("ltr", "rtl")


@pytest.mark.parametrize("tag", OTHERS)
def test_every_language_has_the_same_keys(tag: str) -> None:
    other = FILES[tag]
    assert other.keys() == ENGLISH.keys()
    for section in ("texts", "times", "spelling"):
        assert other[section].keys() == ENGLISH[section].keys(), section
    assert other["spelling"]["characters"].keys() == ENGLISH["spelling"]["characters"].keys()
    assert (len(other["times"]["weekdays"]), len(other["times"]["months"])) == (7, 12)


@pytest.mark.parametrize("tag", OTHERS)
def test_every_text_has_the_same_places_for_values_and_all_plural_forms(tag: str) -> None:
    wanted = {*FILES[tag]["plurals"], "other"}
    for key, english_text in ENGLISH["texts"].items():
        text = FILES[tag]["texts"][key]
        assert isinstance(text, dict) == isinstance(english_text, dict), key
        if isinstance(text, dict):
            assert text.keys() == wanted, key
        # "once" stands for a number, so a form may leave places out; none may have one that English has not.
        known = set().union(*(places_in(form) for form in forms_of(english_text).values()))
        found = set().union(*(places_in(form) for form in forms_of(text).values()))
        assert found == known, key


@pytest.mark.parametrize("tag", FILES)
def test_no_text_is_empty_or_holds_markup(tag: str) -> None:
    for key, text in FILES[tag]["texts"].items():
        for form in forms_of(text).values():
            assert form.strip() == form != "", key
            assert not re.search(r"[<>&]", form), key


@pytest.mark.parametrize("tag", OTHERS)
def test_a_translation_is_one(tag: str) -> None:
    same = {key for key, text in ENGLISH["texts"].items() if FILES[tag]["texts"][key] == text}
    assert same <= {"page.ticket", "alarm.ticket", "place.network"}, "left in English"


@pytest.mark.parametrize("tag", OTHERS)
def test_every_country_has_a_name(tag: str) -> None:
    codes = json.loads(resources.files("connector.secretlink").joinpath("countries.json").read_text("utf-8"))[
        "names"
    ].keys()
    assert FILES[tag]["countries"].keys() == codes
    assert ENGLISH["countries"] == {}  # the table itself is English


def test_the_kinds_of_networks_all_have_words() -> None:
    assert {key.partition(".")[2] for key in ENGLISH["texts"] if key.startswith("network.")} == NETWORKS.keys()


def used_keys() -> Iterator[str]:
    """Every key that a template, a script or a module says."""
    said = re.compile(r"""(?:say\(\s*)["']([a-z_.]+)["']""")
    for content in TEMPLATES.values():
        yield from re.findall(r"""["']([a-z_.]+)["'] \| say""", content)
    for content in (*TEMPLATES.values(), *SCRIPTS.values(), *SOURCES.values()):
        yield from said.findall(content)
        # Handed on by name: `refusal: "script.refused"`, `("duration.days", ...)`.
        yield from re.findall(r"""["']((?:script|duration|check|typed|alarm)\.(?!html|js)[a-z_]+)["']""", content)


def test_every_text_is_used_and_every_used_text_exists() -> None:
    used = set(used_keys())
    known = ENGLISH["texts"].keys()
    assert used <= known
    assert {key for key in known - used if not key.startswith(COMPUTED)} == set()


class Words(HTMLParser):
    """The texts of a template, and the attributes that people hear or read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found += re.findall(r"[A-Za-z]{2,}", data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("aria-label", "title", "placeholder", "alt"):
                self.found += re.findall(r"[A-Za-z]{2,}", value or "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_holds_words(name: str) -> None:
    plain = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", TEMPLATES[name], flags=re.DOTALL)
    words = Words()
    words.feed(plain)
    assert words.found == []


def test_no_script_holds_sentences() -> None:
    for name, content in SCRIPTS.items():
        code = re.sub(r"^\s*//.*$|//\s.*$", "", content, flags=re.MULTILINE)
        for text in re.findall(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`", code):
            assert not re.search(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}", "".join(text).replace("use strict", "")), (
                name
            )


# ---------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("asked", "locale", "accepted", "tag"),
    [
        ("", "", "", "en"),
        ("", "de", "en", "de"),
        ("", "de-AT", "", "de"),
        ("en", "de", "de", "en"),
        ("xx", "de", "", "de"),
        ("", "fr", "", "en"),
        ("", "fr", "de-CH, en;q=0.5", "de"),
        ("", "", "en;q=0.2, de;q=0.9", "de"),
        ("", "", "fr, de;q=0, en;q=0.1", "en"),
        ("", "", "de;q=nonsense, en", "en"),
        ("", "", "*", "en"),
        ("../../de", "\x00", ";;,,=", "en"),
    ],
)
def test_the_language_is_what_was_asked_for_then_the_links_then_the_browsers(
    languages: Languages, asked: str, locale: str, accepted: str, tag: str
) -> None:
    assert languages.choose(asked=asked, locale=locale, accepted=accepted).tag == tag


# ---------------------------------------------------------------- saying


def test_values_are_escaped_and_texts_are_not_formats_for_them(english: Language) -> None:
    assert english.say("link.title", name="<b>{n}</b>") == "Temporary password for &lt;b&gt;{n}&lt;/b&gt;"


def test_numbers_choose_the_form(english: Language, german: Language) -> None:
    assert [english.duration(seconds) for seconds in (60, 120)] == ["1 minute", "2 minutes"]
    assert [german.duration(seconds) for seconds in (60, 120)] == ["1 Minute", "2 Minuten"]
    with pytest.raises(KeyError):
        english.say("duration.minutes")


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        ("n = 1", {1}),
        ("n = 0,1", {0, 1}),
        ("n % 10 = 2..4 and n % 100 != 12..14", {2, 3, 4, 22, 23, 24}),
        ("n = 0 or n % 100 = 2..3", {0, 2, 3}),
    ],
)
def test_plural_rules_are_read_as_unicode_writes_them(rule: str, numbers: set[int]) -> None:
    assert {number for number in range(30) if _holds(rule, number)} == numbers


def test_a_rule_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ValueError, match="is not a plural rule"):
        _holds("n is one", 1)


def test_time_left_is_never_more_than_is_left(english: Language) -> None:
    words = {
        seconds: english.duration(seconds)
        for seconds in (0, 1, 59, 60, 119, 120, 3599, 3600, 7199, 7200, 172_799, 172_800)
    }
    assert words == {
        0: "none",
        1: "less than a minute",
        59: "less than a minute",
        60: "1 minute",
        119: "1 minute",
        120: "2 minutes",
        3599: "59 minutes",
        3600: "60 minutes",
        7199: "119 minutes",
        7200: "2 hours",
        172_799: "47 hours",
        172_800: "2 days",
    }


@pytest.mark.parametrize(
    ("seconds", "zone", "in_english", "in_german"),
    [
        (1_795_345_500, "Europe/London", "11:05 GMT on Sunday 22 November", "11:05 Uhr (GMT) am Sonntag, 22. November"),
        (1_795_345_500, "Europe/Berlin", "12:05 CET on Sunday 22 November", "12:05 Uhr (MEZ) am Sonntag, 22. November"),
        (1_783_000_000, "Europe/Berlin", "15:46 CEST on Thursday 2 July", "15:46 Uhr (MESZ) am Donnerstag, 2. Juli"),
        (
            1_795_345_500,
            "Asia/Dubai",
            "15:05 UTC+04 on Sunday 22 November",
            "15:05 Uhr (UTC+04) am Sonntag, 22. November",
        ),
        (1_795_345_500, "Gone/Away", "11:05 UTC on Sunday 22 November", "11:05 Uhr (UTC) am Sonntag, 22. November"),
    ],
)
def test_times_are_absolute_with_their_zone(
    english: Language, german: Language, seconds: int, zone: str, in_english: str, in_german: str
) -> None:
    assert (english.moment(seconds, zone), german.moment(seconds, zone)) == (in_english, in_german)


def test_places_are_never_finer_than_their_source_in_any_language(english: Language, german: Language) -> None:
    leeds = Place("GB", "Leeds", "test", "vpn")
    assert english.place(leeds) == leeds.words == "Leeds, United Kingdom (approx.), through a VPN"
    assert german.place(leeds) == "Leeds, Vereinigtes Königreich (ungefähr), über ein VPN"
    assert german.place(Place("GB", None, "test")) == "Vereinigtes Königreich (ungefähr)"
    assert (english.place(None), german.place(None)) == ("an unknown place", "unbekannt")
    assert english.place(Place("QQ", None, "test")) == "QQ (approx.)"


def test_browsers_are_named_in_the_language_of_the_page(english: Language, german: Language) -> None:
    assert english.agent("Edge 156 on Windows") == "Edge 156 on Windows"
    assert german.agent("Edge 156 on Windows") == "Edge 156 unter Windows"
    assert (german.agent("Firefox 150"), german.agent(None)) == ("Firefox 150", "unbekannt")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("en", ["capital Alfa", "bravo", "seven", "hyphen", "character U+00E9"]),
        ("de", ["groß Aachen", "klein Berlin", "sieben", "Bindestrich", "Zeichen U+00E9"]),
    ],
)
def test_every_character_has_words(languages: Languages, tag: str, words: list[str]) -> None:
    spell = languages.named(tag).speller.spell
    assert [letter.words for letter in spell("Ab7-é")] == words
    printable = [chr(code) for code in range(32, 127)]
    assert len({letter.words for letter in spell("".join(printable))}) == len(printable)
    assert not [letter for letter in spell("".join(printable)) if "U+" in letter.words]


@pytest.mark.parametrize("tag", FILES)
def test_words_for_letters_begin_with_the_letter(languages: Languages, tag: str) -> None:
    letters = string.ascii_letters
    spelled = languages.named(tag).speller.spell(letters)
    assert [letter.words.split()[-1][0].lower() for letter in spelled] == list(letters.lower())


@pytest.mark.parametrize("tag", FILES)
def test_whatever_number_of_views_there_are_words_for_it(languages: Languages, tag: str) -> None:
    language = languages.named(tag)
    for count in range(1, MOST_VIEWS + 1):
        assert language.say("link.views", n=count, left=count)
        assert language.say("gone.consumed", n=count)
