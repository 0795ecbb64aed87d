"""Letters put into words: subject, text and HTML from three template files per kind.

`templates/<kind>/{subject.txt,body.txt,body.html}` extend `_layout.txt` and `_layout.html`. Which facts a kind needs
is the table in `connector.mail.facts`. The words follow one pattern: what happened, what happens next, what to do,
whom to call.

The HTML is made for what mail programs can do: tables, styles in the elements, no images, no scripts, nothing loaded
from elsewhere and nothing that tells us whether it was read. The text version stands by itself.

An address that opens something is revealed here and nowhere else in this package: the link's for `PASSWORD_READY`, an
alarm's for the mails that have "this was not me". No mail ever holds a password.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final
from urllib.parse import urlsplit

import css_inline
import jinja2

from connector.core.address import checked_address
from connector.core.case import Action
from connector.core.ports import Email, Letter, MailKind
from connector.core.secret import Secret
from connector.core.telephone import dialled
from connector.errors import PermanentError
from connector.mail.facts import Shown, harmless, one_line, read_facts

LONGEST_SUBJECT: Final = 140
LONGEST_TICKET: Final = 40
WITH_ALARM: Final = frozenset({MailKind.LINK_ACCESSED, MailKind.SUBJECT_NOTICE})
"""Mails that show an alarm's address where they are given one."""
_LINE_WIDTH: Final = 76


@dataclass(frozen=True)
class Brand:
    """Who the mails come from, as people know them.

    Attributes:
        name: `MSP Service Desk`.
        phone: As it is to be read: `+44 20 7946 0000`; empty when there is none.
        url: The portal, `https://…`; empty when there is none.
        colour: `#` and six hexadecimal digits; of the head line and the button. The letters on it are black or
            white, whichever reads better.

    Raises:
        ValueError: Something of it is not usable, in a sentence that says what.
    """

    name: str
    phone: str = ""
    url: str = ""
    colour: str = "#1f4e79"

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("phone", self.phone)):
            if one_line(text, 200) != text:
                raise ValueError(f"the {what} has to be one line of text")
        if not self.name:
            raise ValueError("the name has to say who the mails come from")
        if self.url and not _is_web_address(self.url):
            raise ValueError("the url has to be a web address: https://portal.msp.example")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            raise ValueError("the colour has to be of the form #1f4e79")

    @property
    def letters(self) -> str:
        """The colour of letters on `colour`, by WCAG 2's relative luminance (equal contrast is at 0.179)."""
        red, green, blue = (int(self.colour[at : at + 2], 16) / 255 for at in (1, 3, 5))

        def linear(part: float) -> float:
            return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

        luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        return "#16191d" if luminance > 0.179 else "#ffffff"

    @property
    def dialled(self) -> str:
        """The phone number for a `tel:` address; empty where there is none that could be dialled."""
        return dialled(self.phone)


class Renderer:
    """The `LetterWriter` with this package's templates. Safe to use from several threads.

    Args:
        zone: The time zone of a tenant, by its name in `connector.yaml`.
        sender_domain: What Message-IDs end with: the domain of the sender's address.
        own_page: Links lead to the page of our own link service, whose buttons can be named.
    """

    def __init__(
        self, brand: Brand, *, zone: Callable[[str], tzinfo], sender_domain: str, own_page: bool = True
    ) -> None:
        self._brand = brand
        self._zone = zone
        self._domain = sender_domain
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("connector.mail", "templates"),
            autoescape=jinja2.select_autoescape(("html",), default=False),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["own_page"] = own_page
        self._templates.filters["counted"] = _counted
        self._templates.filters["times"] = _times
        self._templates.filters["minutes"] = _minutes
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False)

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        """Render subject, text and HTML. The same letter gives the same Message-ID every time.

        Raises:
            PermanentError: A fact is missing or malformed, the address is none, or a link is missing where it
                belongs or given where it does not.
        """
        try:
            checked_address(letter.to)
        except ValueError as error:
            raise PermanentError(
                f"The mail {letter.kind.value} for ticket {one_line(letter.ticket, LONGEST_TICKET)} has no usable "
                f"address: {error}. Correct the person's address in the PSA."
            ) from None
        words = self._words(letter)
        words["link"] = _address_of(letter.kind, link)
        directory = letter.kind.value
        html = self._inliner.inline(self._render(f"{directory}/body.html", words))
        return Email(
            message_id=self._message_id(letter.id),
            to=letter.to,
            subject=one_line(self._render(f"{directory}/subject.txt", {**words, "link": ""}), LONGEST_SUBJECT),
            text=_wrapped(self._render(f"{directory}/body.txt", words), whole=self._brand.phone),
            html=html,
        )

    def _words(self, letter: Letter) -> dict[str, Shown | Brand]:
        """Everything that a template may name, except the link."""
        facts = read_facts(letter, self._zone(letter.tenant))
        name, upn, action = facts["subject_name"], facts["subject_upn"], facts["action"]
        words = action.words if isinstance(action, Action) else "account reset"
        return {
            **facts,
            "request_words": words,
            "article": "an" if words[0] in "aM" else "a",  # an MFA reset, an account reset
            "brand": self._brand,
            "ticket": harmless(letter.ticket, LONGEST_TICKET).lstrip("#").strip(),
            "to_name": harmless(letter.to_name, 80),
            "who": name or upn or "the person you named",
            "account": f"{name} ({upn})" if name and upn and name != upn else (upn or name or "the account you named"),
        }

    def _render(self, template: str, words: dict[str, Shown | Brand]) -> str:
        failed = ""
        try:
            return self._templates.get_template(template).render(words)
        except jinja2.TemplateError as error:
            failed = type(error).__name__
        # Raised out here so that nothing of the words, which may hold a link, hangs on to the error.
        raise PermanentError(
            f"The template {template} cannot be rendered ({failed}). "
            "This is a defect of the connector: report it, and tell the requester by hand."
        )

    def _message_id(self, letter_id: str) -> str:
        return f"<{hashlib.sha256(letter_id.encode()).hexdigest()[:32]}@{self._domain}>"


def _address_of(kind: MailKind, link: Secret | None) -> str:
    """The address that this kind shows; empty for all others, and where an alarm has none."""
    if link is None and kind is not MailKind.PASSWORD_READY:
        return ""
    if kind is not MailKind.PASSWORD_READY and kind not in WITH_ALARM:
        raise PermanentError(f"The mail {kind.value} was given a link, which it must not show. Report this defect.")
    if link is None or not _is_web_address(link.reveal()):
        raise PermanentError(f"The mail {kind.value} has no usable link. Check links.url, then retry the ticket.")
    return link.reveal()


def _is_web_address(text: str) -> bool:
    if not text.isascii() or re.search(r"[\s\"'<>\\\x00-\x1f\x7f]", text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and bool(parts.hostname)


def _counted(number: int, unit: str) -> str:
    """`1 view`, `2 views`."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _minutes(number: int) -> str:
    """`60 minutes`, `24 hours`."""
    return _counted(number // 60, "hour") if number >= 120 and number % 60 == 0 else _counted(number, "minute")


def _wrapped(text: str, *, whole: str) -> str:
    """Long lines broken at blanks, list items indented, at most one empty line in a row.

    Addresses of pages stay whole, and so does `whole`, the phone number.
    """
    lines: list[str] = []
    if whole:
        text = text.replace(whole, whole.replace(" ", "\x00"))
    for line in text.splitlines():
        marker = re.match(r"\s*(?:[-•]|\d+\.)\s+|\s*", line)
        indent = " " * (len(marker[0]) if marker else 0)
        lines += textwrap.wrap(
            line, _LINE_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("\x00", " ").strip() + "\n"
