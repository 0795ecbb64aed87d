"""What we take for a mail address: fewer than the standards allow, so that none can mean two things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final

LONGEST: Final = 254  # octets of an address in SMTP. Source: RFC 5321 §4.5.3.1.3 with erratum 1690.

# Quoted local parts ("a b"@x), comments, groups and lists are left out on purpose: each is a way to make a parser
# and a mail server disagree about who gets the mail.
_FORBIDDEN: Final = r"\s@<>()\[\],;:\\\"\x00-\x20\x7f-\xa0"
_ADDRESS: Final = re.compile(rf"(?P<local>[^{_FORBIDDEN}]+)@(?P<domain>[^{_FORBIDDEN}]+)")
_MAILBOX: Final = re.compile(r'\s*(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[^"<>,;\\]*?))\s*<(?P<address>[^<>]*)>\s*')
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


def checked_address(text: str) -> str:
    """The address unchanged, if it is exactly one plain `local@domain`.

    Non-ASCII letters pass here; whether a server takes them is asked when the mail is sent.

    Raises:
        ValueError: It is none, with the reason in words that do not repeat the text.
    """
    if has_control_characters(text):
        raise ValueError("it holds a line break or another control character")
    if len(text.encode("utf-8", "replace")) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} octets")
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError("it is not of the form name@domain")
    local, domain = match["local"], match["domain"]
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("its part before the @ has a misplaced dot")
    if not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise ValueError("its domain is not well formed")
    return text


def domain_of(address: str) -> str:
    """What stands after the @."""
    return address.rpartition("@")[2]


def has_control_characters(text: str) -> bool:
    """Whether a line break, or anything else that could start a new header, is in the text."""
    return any(ord(sign) < 32 or 127 <= ord(sign) < 160 or sign in "\u2028\u2029" for sign in text)


@dataclass(frozen=True)
class Mailbox:
    """An address with the name that is shown beside it; the name may be empty."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: object) -> Mailbox:
        """Read `IT Support <support@msp.example>` or a bare address.

        Raises:
            ValueError: Anything else, with a sentence that says what is wrong.
        """
        if isinstance(text, Mailbox):
            return text
        if not isinstance(text, str):
            raise ValueError("write it as: IT Support <support@msp.example>")
        if has_control_characters(text):
            raise ValueError("a line break or control character has no place in a mail address")
        match = _MAILBOX.fullmatch(text)
        name, address = (match["quoted"] or match["plain"] or "", match["address"]) if match else ("", text.strip())
        try:
            checked_address(address)
        except ValueError as error:
            raise ValueError(f"write it as: IT Support <support@msp.example> ({error})") from None
        if not address.isascii():
            raise ValueError("the service's own address has to be plain ASCII, as not every server takes others")
        return cls(name=name.strip(), address=address)

    def header(self) -> Address:
        local, _, domain = self.address.rpartition("@")
        return Address(display_name=self.name, username=local, domain=domain)
