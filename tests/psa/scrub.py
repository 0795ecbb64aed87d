"""Makes recordings of a true PSA fit to be kept: what is not named is not in them.

Three nets, each enough for most of what must not get out:

1. **Allow-list.** Of headers, parameters, parts of paths and JSON keys, only those that an `AllowList` names survive;
   everything else is dropped, so that a new field of a later version cannot bring anything along. A body that is not
   JSON is dropped whole, and so is every body that we send.
2. **Placeholders.** A text survives as it stands only where the list names the text itself, or where its key is one
   whose values are plain (a date, a version) and it looks plain. Every other text becomes a placeholder of the same
   kind: an address an address, a GUID a GUID. The same text gives the same placeholder throughout one recording. They
   are numbered, not derived: from a hash of a name, the name can be found by trying names.
3. **Last look.** `look_once_more` reads the finished text, decoded in every way that we know, and refuses it when a
   known secret, an address or host outside the example domains, or a long random-looking string is left in it.

Nothing here repeats what it refuses: messages name the kind and the place.
"""

from __future__ import annotations

import base64
import copy
import html
import itertools
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlencode, urlsplit

from vcr.persisters.filesystem import FilesystemPersister
from vcr.request import Request
from vcr.serialize import serialize

SHORTEST_SECRET = 6
LONGEST_PLAIN = 60
LARGEST_NUMBER = 10**9
"""Larger ones may be telephone numbers or keys."""
DEEPEST = 40

NUMBERED = re.compile(r"[0-9]{1,18}|v[0-9]{1,4}(?:_[0-9a-z]{1,8})*")
"""Parts of a path that always survive: ids, and versions of an interface."""
PLAIN = re.compile(r"[A-Za-z0-9 ._:+/-]*")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)?)?")
ADDRESS = re.compile(r"[^\s@<>\"',;:()\[\]\\]+@[^\s@<>\"',;:()\[\]\\]+\.[^\s@<>\"',;:()\[\]\\]+")
GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
WEB = re.compile(r"https?://[^\s\"'<>\\]+", re.IGNORECASE)
EXAMPLE_HOST = re.compile(r"(?:[^\s.@/:]+\.)*(?:example|example\.(?:com|net|org)|test|invalid)\Z")
OWN_GUID = re.compile(r"00000000-0000-4000-8000-[0-9]{12}")
SECRET_KEYS = re.compile(
    r"token|secret|passw|private.?key|api.?key|cookie|authorization|signature|\bpin\b", re.IGNORECASE
)
RANDOM = re.compile(r"[A-Za-z0-9+/_.~-]{20,}")
HEXADECIMAL = re.compile(r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{20}", re.IGNORECASE)
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}")


def named(words: str) -> frozenset[str]:
    """A list of names, written with blanks in between."""
    return frozenset(words.split())


VOCABULARY = named(
    """
    a added an and api approval approved at automate been board by changed cleared client closed company connectwise
    connector contact created custom customer deleted desktop email fax field for from has in integration internal is
    location mail manage member merged mobile modified new note notes of old on opened owner phone portal previously
    priority process psa release removed replaced resource rule script service set status subtype summary system team
    that the this ticket to type updated user value was web with workflow
    """
)
"""Of the sentences in which a PSA tells what was changed, and of its names for kinds of things."""
LETTERS = frozenset("vtzacfx")
"""That stand alone: of versions, dates and kinds of licences."""
MOST_DIGITS = 6
"""In a plain text that is no date. More may be a telephone number or that of a person."""
LARGEST_CHOICE = 9_999
"""Larger numbers in a field that people fill in may be anything: a person's number, a place."""
PUNCTUATION = frozenset(" \n.,:;\"'()[]{}<>=-–→/")


class NotRecorded(ValueError):
    """Something cannot be recorded safely. The message never holds it."""


@dataclass(frozen=True)
class AllowList:
    """What survives of one kind of PSA.

    Attributes:
        host: What takes the place of the server's address.
        keys: JSON keys, exactly as written.
        plain: Those keys whose dates and versions survive, and whose kinds where they are made of plain words.
        entered: Those keys whose numbers people type in: only small ones survive.
        worded: A key whose texts are sentences of the PSA itself, and another that such an object has: the plain words
            of the sentence survive, names in it do not.
        words: Texts that survive anywhere, such as the names that a mapping holds.
        segments: Parts of paths. Numbers and versions always survive.
        named_after: Those of them that are followed by a name (of a company), which is replaced.
        parameters: Names of query parameters.
        sent, received: Names of headers, lower case.
        tokens: Paths of the calls that fetch a token: the only ones that may send anything but GET.
        made_up: Hosts that belong to nobody whom a recording could give away, besides the example domains.
    """

    host: str
    keys: frozenset[str]
    plain: frozenset[str]
    segments: frozenset[str]
    parameters: frozenset[str]
    words: frozenset[str] = frozenset()
    entered: frozenset[str] = frozenset({"value"})
    named_after: frozenset[str] = frozenset()
    worded: tuple[str, str] | None = None
    sent: frozenset[str] = frozenset({"accept", "content-type"})
    received: frozenset[str] = frozenset({"content-type", "date", "retry-after"})
    tokens: frozenset[str] = frozenset()
    made_up: frozenset[str] = frozenset()


@dataclass
class Scrubber:
    """Scrubs the exchanges of one recording, and remembers what must not be left in it.

    Attributes:
        secrets: Known beforehand; those that answers bring (under keys such as `access_token`) are added.
        hosts: The servers that were talked to.
    """

    allowed: AllowList
    secrets: set[str] = field(default_factory=set, repr=False)
    hosts: set[str] = field(default_factory=set)
    _known: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------ requests

    def request(self, request: Request) -> Request:
        """The request as it is kept and compared. The one that is sent stays as it is.

        The same request gives the same result in every recording, so that it can be played.

        Raises:
            NotRecorded: It would change something, or goes to an address that is not on the list. It was not sent.
        """
        parts = urlsplit(request.uri)
        allowed = self.allowed
        fetches_token = parts.path in allowed.tokens
        if request.method != "GET" and not (request.method == "POST" and fetches_token):
            raise NotRecorded(f"a recording only reads: {request.method} was not sent")
        segments = [segment for segment in parts.path.split("/") if segment]
        segments = [
            "somebody" if before in allowed.named_after and not {"%", "."} & set(segment) else segment
            for before, segment in itertools.pairwise(["", *segments])
        ]
        known = {*allowed.segments, "somebody"}
        if not all(segment in known or NUMBERED.fullmatch(segment) for segment in segments):
            raise NotRecorded("a call to a path that is not on the list was not sent: add its parts to segments")
        if parts.hostname and parts.hostname != urlsplit(allowed.host).hostname:
            self.hosts.add(parts.hostname)
        for name, value in request.headers.items():
            if SECRET_KEYS.search(name):
                self.learn(value)
        query = [
            (name, self._parameter(value))
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name in allowed.parameters
        ]
        kept = copy.copy(request)
        kept.uri = "/".join([allowed.host, *segments]) + (f"?{urlencode(query)}" if query else "")
        kept.headers = {
            name.lower(): self._header(value) for name, value in request.headers.items() if name.lower() in allowed.sent
        }
        kept.body = None
        return kept

    def _parameter(self, value: str) -> str:
        """Numbers, truth values, names of fields and operators stay; dates and texts become fixed words."""

        def word(match: re.Match[str]) -> str:
            text = match[0]
            known = text in self.allowed.words or text in self.allowed.keys or text in self.allowed.segments
            if known or re.fullmatch(
                r"[0-9]{1,9}|true|false|null|and|or|not|in|asc|desc|AND|OR|ASC|DESC|then|text", text
            ):
                return text
            return "then" if MOMENT.fullmatch(text) else "text"

        if value in self.allowed.words:
            return value
        return re.sub(r"\d{4}-\d\d-\d\d[0-9T:.Z+-]*|[^\s,;/=<>!()\[\]\"']+", word, value)

    # ------------------------------------------------------------ answers

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """The answer as it is kept: its status, the named headers, the named parts of a JSON body."""
        for name, values in response["headers"].items():
            if SECRET_KEYS.search(name):
                for value in values if isinstance(values, list) else [values]:
                    self.learn(value)
        return {
            "status": {"code": int(response["status"]["code"]), "message": ""},
            "headers": {
                name.lower(): [self._header(value) for value in (values if isinstance(values, list) else [values])]
                for name, values in response["headers"].items()
                if name.lower() in self.allowed.received
            },
            "body": {"string": self.body(response["body"]["string"])},
        }

    def body(self, body: bytes | str | None) -> bytes:
        """A JSON body with what is named; nothing of any other."""
        try:
            content = json.loads(body or b"", parse_constant=lambda _: None)
            self._learn_from(content)
            return json.dumps(self._value(content, "", 0), ensure_ascii=True, sort_keys=True).encode()
        except (ValueError, RecursionError):
            return b""

    def learn(self, secret: object) -> None:
        """Remember something that must not be left, in all parts in which it may turn up."""
        for part in (str(secret), *re.split(r"[\s;,=:]+", str(secret))):
            if len(part) >= SHORTEST_SECRET and part.casefold() not in (
                "bearer",
                "basic",
                "path",
                "secure",
                "httponly",
            ):
                self.secrets.add(part)

    def _learn_from(self, value: Any, secret: bool = False) -> None:
        match value:
            case dict():
                for key, inner in value.items():
                    self._learn_from(inner, secret or bool(SECRET_KEYS.search(key)))
            case list():
                for inner in value:
                    self._learn_from(inner, secret)
            # `token_type: bearer` is no secret, and would stop every recording in which the word is used.
            case str() if secret and len(value) >= 16:
                self.learn(value)

    def _value(self, value: Any, key: str, depth: int) -> Any:
        if depth > DEEPEST:
            return None
        match value:
            case dict():
                worded, beside = self.allowed.worded or ("", "")
                return {
                    name: self._sentence(inner)
                    if name == worded and beside in value and isinstance(inner, str)
                    else self._value(inner, name, depth + 1)
                    for name, inner in value.items()
                    if name in self.allowed.keys
                }
            case list():
                return [self._value(inner, key, depth + 1) for inner in value]
            case bool() | None:
                return value
            case int() | float() if key in self.allowed.entered and (value % 1 or abs(value) > LARGEST_CHOICE):
                return int(self._placeholder("entered", repr(value), lambda number: str(LARGEST_CHOICE + number)))
            case int() | float():
                return value if abs(value) < LARGEST_NUMBER else 0
            case _ if SECRET_KEYS.search(key):
                return "made up"
            case _:
                return self.text(str(value), plain=key in self.allowed.plain)

    def text(self, text: str, *, plain: bool = False) -> str:
        """A text as it is kept."""
        if not text.strip() or text in self.allowed.words:
            return text
        if plain and len(text) <= LONGEST_PLAIN and PLAIN.fullmatch(text) and not _looks_random(text):
            if _tells_nobody(text):
                return text
            if not any(letter.isdigit() for letter in text):
                return self._sentence(text)
        for kind, shape, make in _KINDS:
            if shape(text):
                return self._placeholder(kind, text, make)
        return self._placeholder("text", text, lambda number: f"text {number}")

    def _sentence(self, text: str) -> str:
        """A sentence of the PSA's own: everyday words of such sentences, known names as elsewhere, `x` for the rest."""
        known = {one: placeholder for (kind, one), placeholder in self._known.items() if kind in ("word", "text")}
        known |= {word: word for word in self.allowed.words}
        names = "|".join(
            rf"(?<!\w){re.escape(one)}(?!\w)" for one in sorted(known, key=len, reverse=True) if one.strip()
        )

        def part(match: re.Match[str]) -> str:
            found = match[0]
            if found in known:
                return known[found]
            if found.isalpha():
                return found if found.casefold() in VOCABULARY else "x"
            return "0" if found.isdigit() else found if found in PUNCTUATION else ""

        return re.sub(f"{names}|[^\\W\\d_]+|\\d+|." if names else r"[^\W\d_]+|\d+|.", part, text, flags=re.DOTALL)

    def _placeholder(self, kind: str, text: str, make: Callable[[int], str]) -> str:
        known = (kind, text.strip().casefold() if kind == "address" else text)
        if known not in self._known:
            self._known[known] = make(1 + sum(1 for one, _ in self._known if one == kind))
        return self._known[known]

    def _header(self, value: object) -> str:
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        return text if re.fullmatch(r"[A-Za-z0-9 /.+;=,:*-]{0,100}", text) and not _looks_random(text) else "text"

    # ------------------------------------------------------------ the last look

    def look_once_more(self, text: str) -> None:
        """Refuse a finished recording in which something is left.

        Raises:
            NotRecorded: With everything that was found, by kind and number of the line, never the thing itself.
        """
        problems: dict[str, None] = {}
        forms = [form.casefold() for secret in self.secrets for form in _forms(secret)]
        for number, line in enumerate(_unfolded(text), 1):
            for what in self._left_in(line, forms):
                problems[f"line {number}: {what}"] = None
        whole = _squeezed(text)
        if any(_squeezed(form) in whole for form in forms):
            problems["a secret that was known beforehand, or that an answer brought"] = None
        if problems:
            raise NotRecorded(
                "The recording was not written, because something is left in it: " + "; ".join(problems) + ". Take "
                "the key or word that lets it through off the list."
            )

    def _left_in(self, line: str, forms: list[str]) -> Iterator[str]:
        for seen in _readings(line):
            folded = seen.casefold()
            if any(form in folded for form in forms):
                yield "a known secret"
            if any(host.casefold() in folded for host in self.hosts if not self._made_up(host)):
                yield "the name of a server"
            if any(not self._made_up(one.rpartition("@")[2].strip(".")) for one in ADDRESS.findall(seen)):
                yield "an e-mail address"
            if any(not self._made_up(_host_of(one)) for one in WEB.findall(seen)):
                yield "a web address"
            if JWT.search(seen) or any(_looks_random(self._unknown_part(one)) for one in RANDOM.findall(seen)):
                yield "a long random-looking string"
            if any(not OWN_GUID.fullmatch(one) for one in GUID.findall(seen)):
                yield "a GUID"

    def _made_up(self, host: str) -> bool:
        return bool(EXAMPLE_HOST.fullmatch(host.lower())) or host.lower() in self.allowed.made_up

    def _unknown_part(self, run: str) -> str:
        """A run without the names that are on the list: paths and long keys are made of them."""
        known = self.allowed.keys | self.allowed.segments | self.allowed.words | {urlsplit(self.allowed.host).netloc}
        return "/".join(part for part in run.split("/") if part not in known)


class Held:
    """A persister for vcrpy that keeps what it should write until somebody has looked at it.

    A refusal from within vcrpy's own saving would leave its patches in place, and the next test without a wire.
    """

    def __init__(self) -> None:
        self.text: str | None = None

    def load_cassette(self, path: str, serializer: Any) -> tuple[list[Any], list[Any]]:
        loaded: tuple[list[Any], list[Any]] = FilesystemPersister.load_cassette(path, serializer)
        return loaded

    def save_cassette(self, path: str, cassette: dict[str, Any], serializer: Any) -> None:
        self.text = serialize(cassette, serializer)


class JsonFiles:
    """Cassettes as JSON."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        return json.dumps(cassette, indent=1, sort_keys=True) + "\n"

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(text)
        return content


# ---------------------------------------------------------------- kinds of text

_KINDS: tuple[tuple[str, Callable[[str], object], Callable[[int], str]], ...] = (
    ("address", lambda text: ADDRESS.fullmatch(text.strip()), lambda number: f"person{number}@example.com"),
    ("guid", lambda text: GUID.fullmatch(text.strip("{} ")), lambda number: f"00000000-0000-4000-8000-{number:012}"),
    ("web", lambda text: WEB.match(text.strip()), lambda number: f"https://example.com/{number}"),
    ("moment", MOMENT.fullmatch, lambda number: f"2020-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"),
    ("number", lambda text: re.fullmatch(r"[+-]?[0-9 ().]+", text), lambda number: str(1000 + number)),
    ("markup", lambda text: re.search(r"<[A-Za-z!/]", text), lambda number: f"<p>text {number}</p>"),
    ("lines", lambda text: "\n" in text.strip(), lambda number: f"text {number}\nsecond line"),
    ("word", lambda text: re.fullmatch(r"\S+", text), lambda number: f"word{number}"),
)


def _tells_nobody(text: str) -> bool:
    """A date, a version, or a kind of thing that everybody has: nothing but plain words and few digits."""
    if MOMENT.fullmatch(text):
        return True
    words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+", text)]
    digits = sum(one.isdigit() for one in text)
    return digits <= MOST_DIGITS and all(word in VOCABULARY or word in LETTERS for word in words)


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _looks_random(text: str) -> bool:
    """Long runs that change between small letters, capitals and digits as no word does: keys, tokens, hashes."""
    for run in re.findall(r"[A-Za-z0-9+/_~-]{20,}", text):
        if OWN_GUID.fullmatch(run) or MOMENT.fullmatch(run):
            continue
        kinds = ["a" if one.islower() else "A" if one.isupper() else "0" for one in run if one.isalnum()]
        changes = sum(before != after for before, after in itertools.pairwise(kinds))
        if HEXADECIMAL.search(run) or (len(kinds) >= 16 and changes >= len(kinds) / 4) or re.search("[0-9]{20}", run):
            return True
        counts = Counter(run)
        entropy = -sum(n / len(run) * math.log2(n / len(run)) for n in counts.values())
        if len(run) >= 32 and entropy > 3.9 and not re.search(r"[-_/]", run):
            return True
    return False


# ---------------------------------------------------------------- ways to read a text


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may have been written: plain, in addresses, in JSON, in HTML, in base64 at any offset."""
    raw = secret.encode()
    yield from {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], html.escape(secret)}
    yield raw.hex()
    yield secret[::-1]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # The outer characters depend on what stands before and after.
            text = encode(b"\0" * offset + raw).decode().rstrip("=")
            inner = text[4 if offset else 0 : -1]
            if len(inner) >= SHORTEST_SECRET:
                yield inner


def _unfolded(text: str) -> Iterator[str]:
    """The lines of a recording, and every text of its bodies, which are JSON within JSON."""
    yield from text.splitlines()
    try:
        yield from _strings(json.loads(text), 0)
    except ValueError:
        return


def _strings(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        return
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                yield from _strings(inner, depth + 1)
        case list():
            for inner in value:
                yield from _strings(inner, depth + 1)
        case str():
            yield value
            if value[:1] in ("{", "[", '"'):
                try:
                    yield from _strings(json.loads(value), depth + 1)
                except (ValueError, RecursionError):
                    return


def _readings(line: str) -> Iterator[str]:
    """A line as it stands, and decoded: percent signs, HTML entities, look-alike letters, invisible characters."""
    seen = {line}
    yield line
    for decode in (unquote_plus, html.unescape, _visible, lambda text: unquote_plus(html.unescape(_visible(text)))):
        read = decode(line)
        if read not in seen:
            seen.add(read)
            yield read


def _visible(text: str) -> str:
    """Compatibility forms made plain (full-width letters, for example), and what nobody sees taken out."""
    return "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) not in ("Cf", "Mn"))


def _squeezed(text: str) -> str:
    """Without blanks and line breaks, so that a text cut into lines is found all the same."""
    return re.sub(r"\s+|\\n|\\r", "", _visible(text)).casefold()
