"""The languages of the pages. Each is one file of `locales/`, and everything that differs by language stands in it.

To add one, copy `en.json` under the language's tag (`fr.json`) and translate the values; nothing else has to be told.
The tests compare its keys and its places for values with those of English.

A text that depends on a number is a set of forms, chosen by the rules under `plurals`, which are written as Unicode
CLDR writes them (`n % 10 = 2..4 and n % 100 != 12..14`; what no rule takes is `other`). Browsers know the rules by
themselves (`Intl.PluralRules`), and a test compares the two. Source: UTS #35 part 3, language plural rules, read
2026-11-22.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

from connector.secretlink.place import Place, country_name
from connector.secretlink.service.pages.spelling import Speller

FALLBACK: Final = "en"

_RELATION: Final = re.compile(r"n(?: % (\d+))? (!?=) (\d+(?:\.\.\d+)?(?:,\d+(?:\.\.\d+)?)*)")
_TAG: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)
_FOR_SCRIPTS: Final = (
    "script.", "duration.", "check.", "link.title", "link.views", "link.next_sign_in", "alarm.raise", "message.damaged",
)  # fmt: skip
_MOST_WISHES: Final = 20


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        tag: As HTML wants it: `en`.
        name: What its own speakers call it.
        direction: `ltr` or `rtl`.
        speller: Says passwords letter by letter.
        for_scripts: JSON of what the pages' scripts say.
    """

    tag: str
    name: str
    direction: str
    speller: Speller
    for_scripts: str
    _texts: Mapping[str, Markup | Mapping[str, Markup]]
    _plurals: Mapping[str, str]
    _times: Mapping[str, Any]
    _countries: Mapping[str, str]

    def say(self, key: str, **values: object) -> Markup:
        """The text of a key as HTML. Values are escaped, unless they are markup themselves.

        Args:
            values: What stands in the text's braces. `n`, a whole number, also chooses the form.

        Raises:
            KeyError: No such text, or a value that it wants is missing: a fault of ours, found by the tests.
        """
        text = self._texts[key]
        if isinstance(text, Mapping):
            count = values["n"]
            if not isinstance(count, int):
                raise KeyError(f"{key} needs a whole number n")
            text = text[self.plural(count)]
        if not values:
            return text
        return Markup(str.format(text, **{name: escape(value) for name, value in values.items()}))  # noqa: S704

    def plural(self, count: int) -> str:
        """The form that a number wants: `one`, `other`, in other languages more."""
        return next((form for form, rule in self._plurals.items() if _holds(rule, count)), "other")

    def moment(self, seconds: int, zone_name: str) -> str:
        """`14:05 GMT on Sunday 22 November`, in a zone of the IANA list.

        Args:
            seconds: Since 1970-01-01 UTC.
        """
        try:
            zone: ZoneInfo | None = ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = None  # known when the link was made, gone from this machine since
        local = datetime.fromtimestamp(seconds, zone or UTC)
        name = local.tzname() or "UTC"
        # Zones without letters of their own are called "+03" or "-0330".
        name = f"UTC{name}" if name[0] in "+-" else name
        return str(self._times["moment"]).format(
            time=f"{local:%H:%M}",
            zone=self._times["zones"].get(name, name),
            weekday=self._times["weekdays"][local.weekday()],
            day=local.day,
            month=self._times["months"][local.month - 1],
        )

    def duration(self, seconds: int) -> str:
        """`43 minutes`, `1 minute`, `less than a minute`, `5 hours`, `3 days`: never more than is left."""
        for size, key in ((86_400, "duration.days"), (3600, "duration.hours"), (60, "duration.minutes")):
            # From two of a unit on; "90 minutes" says more than "1 hour".
            if seconds >= 2 * size or (size == 60 and seconds >= size):
                return self.say(key, n=seconds // size)
        return self.say("duration.short") if seconds > 0 else self.say("duration.none")

    def place(self, place: Place | None) -> str:
        """Roughly where: `Leeds, United Kingdom (approx.), through a VPN`."""
        if place is None:
            return self.say("place.unknown")
        country = self._countries.get(place.country) or country_name(place.country)
        words = self.say("place.approximate", place=f"{place.city}, {country}" if place.city else country)
        if place.network is None:
            return words
        return self.say("place.network", place=words, network=self.say(f"network.{place.network}"))

    def agent(self, agent: str | None) -> str:
        """What somebody came with: `Edge 156 on Windows`.

        Args:
            agent: As `agent.name_agent` calls it.
        """
        if not agent:
            return self.say("agent.unknown")
        browser, _, system = agent.partition(" on ")
        return self.say("agent.on", browser=browser, system=system) if system else agent


class Languages:
    """Every language that there is a file for."""

    def __init__(self) -> None:
        folder = resources.files("connector.secretlink.service.pages").joinpath("locales")
        files = [file for file in folder.iterdir() if file.name.endswith(".json")]
        read = [_read(json.loads(file.read_text("utf-8"))) for file in files]
        self._by_tag = {language.tag: language for language in sorted(read, key=lambda language: language.tag)}

    def __iter__(self) -> Any:
        return iter(self._by_tag.values())

    def named(self, tag: str) -> Language:
        """The language of a tag that there is a file for. Raises `KeyError` for another."""
        return self._by_tag[tag]

    def choose(self, *, asked: str = "", locale: str = "", accepted: str = "") -> Language:
        """The language for a visitor: the first of these that we speak, or English.

        Args:
            asked: `?lang` of the address. It stands there because somebody chose it on the page, so it comes first.
            locale: The link's.
            accepted: The browser's `Accept-Language`.
        """
        for wish in (asked, locale, *_wishes(accepted)):
            found = _TAG.fullmatch(wish)
            if found and found[1].lower() in self._by_tag:
                return self._by_tag[found[1].lower()]
        return self._by_tag[FALLBACK]


def _read(content: Mapping[str, Any]) -> Language:
    speller = Speller(content["spelling"]["characters"], other=content["spelling"]["other"])
    said = {key: text for key, text in content["texts"].items() if key.startswith(_FOR_SCRIPTS)}
    spelling = {"characters": content["spelling"]["characters"], "other": content["spelling"]["other"]}
    return Language(
        tag=content["tag"],
        name=content["name"],
        direction=content["direction"],
        speller=speller,
        for_scripts=json.dumps({"texts": said, "spelling": spelling}, ensure_ascii=False, separators=(",", ":")),
        _texts={key: _escape(text) for key, text in content["texts"].items()},
        _plurals=content["plurals"],
        _times=content["times"],
        _countries=content["countries"],
    )


def _escape(text: str | Mapping[str, str]) -> Markup | Mapping[str, Markup]:
    return escape(text) if isinstance(text, str) else {form: escape(words) for form, words in text.items()}


@functools.lru_cache(maxsize=256)
def _holds(rule: str, count: int) -> bool:
    return any(all(_relation_holds(part, count) for part in side.split(" and ")) for side in rule.split(" or "))


def _relation_holds(relation: str, count: int) -> bool:
    found = _RELATION.fullmatch(relation)
    if found is None:
        raise ValueError(f"{relation!r} is not a plural rule. Write it like: n % 10 = 2..4 and n % 100 != 12..14")
    number = count % int(found[1]) if found[1] else count
    ranges = (part.partition("..") for part in found[3].split(","))
    inside = any(int(first) <= number <= int(last or first) for first, _, last in ranges)
    return inside == (found[2] == "=")


def _wishes(accepted: str) -> Sequence[str]:
    """The tags of `Accept-Language`, the dearest first (RFC 9110 section 12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for part in accepted.split(",")[:_MOST_WISHES]:
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.partition("=")[2]) if weight.strip() else 1.0
        except ValueError:
            continue
        if quality > 0:
            weighed.append((quality, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda pair: -pair[0])]
