"""Every mail in words: what it holds, what it must never hold, and what is refused."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ports import Email, Letter, MailKind
from connector.core.secret import Secret
from connector.errors import PermanentError
from connector.mail.facts import FACTS, Form, required_facts
from connector.mail.preview import SAMPLE_BRAND, sample_letters, sample_link
from connector.mail.render import WITH_ALARM, Brand, Renderer

SAMPLES = sample_letters()
BRAND = SAMPLE_BRAND
OURS = re.compile(
    r"tel:\+442079460123|https://portal\.example\.com|https://myaccount\.microsoft\.com"
    r"|https://passwordreset\.microsoftonline\.com|https://mysignins\.microsoft\.com/security-info|https://links\.example\.com/[sn]/\S+"
)


def in_london(_tenant: str) -> tzinfo:
    return ZoneInfo("Europe/London")


RENDERER = Renderer(BRAND, zone=in_london, sender_domain="msp.example.com")


def render(letter: Letter, renderer: Renderer = RENDERER) -> Email:
    return renderer.write(letter, link=sample_link(letter))


def letter_of(kind: MailKind, **facts: str) -> Letter:
    """A sample of this kind with other facts."""
    letter = next(letter for letter in SAMPLES.values() if letter.kind is kind)
    return replace(letter, facts={**letter.facts, **facts})


class Page(HTMLParser):
    """A mail as a mail program sees it: its words, its addresses, its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("style", "title")
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name in ("href", "src", "background", "action"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def flat(text: str) -> str:
    return " ".join(text.split())


# ---------------------------------------------------------------- every kind


@pytest.mark.parametrize("name", SAMPLES)
def test_every_mail_says_which_ticket_and_whom_to_call_in_text_and_html(name: str) -> None:
    email = render(SAMPLES[name])
    assert email.subject.startswith("[#4242] ")
    for said in (flat(email.text), Page(email.html).text):
        assert "#4242" in said
        assert BRAND.phone in said
        assert BRAND.name in said
        assert "Alex" in said
        assert "alex@contoso.com" in said
        assert SAMPLES[name].to_name in said


@pytest.mark.parametrize("name", SAMPLES)
def test_every_mail_is_whole_in_both_versions(name: str) -> None:
    letter = SAMPLES[name]
    email = render(letter)
    page = Page(email.html)
    for fact, value in letter.facts.items():
        form = {**FACTS[letter.kind]}.get(fact)
        if form is None or form.form in (Form.INSTANT, Form.COUNT, Form.LINES, Form.FLAG, Form.PEOPLE, Form.ACTION):
            continue
        assert value in flat(email.text), fact
        assert value in page.text, fact
    for leftover in ("{{", "{%", "None", "Undefined", "()"):
        assert leftover not in email.text
        assert leftover not in page.text
    assert max(len(line) for line in email.text.splitlines() if "://" not in line) <= 76
    assert "\n\n\n" not in email.text
    assert not any(line != line.rstrip() for line in email.text.splitlines())


@pytest.mark.parametrize("name", SAMPLES)
def test_no_mail_loads_or_runs_anything_or_tells_that_it_was_read(name: str) -> None:
    page = Page(render(SAMPLES[name]).html)
    assert not {"img", "script", "link", "iframe", "object", "form", "input", "svg", "video"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in render(SAMPLES[name]).html
    assert [address for address in page.addresses if not OURS.fullmatch(address)] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_every_mail_can_be_read_aloud_and_in_the_dark(name: str) -> None:
    email = render(SAMPLES[name])
    page = Page(email.html)
    assert ("lang", "en-GB") in page.attributes
    assert page.tags.count("h1") == 1
    assert page.tags.count("table") == sum(
        1 for name, value in page.attributes if (name, value) == ("role", "presentation")
    ) + page.attributes.count(("class", "facts"))
    assert "prefers-color-scheme: dark" in email.html
    assert "preheader" in email.html


def test_there_is_a_sample_and_a_row_of_facts_for_every_kind() -> None:
    assert {letter.kind for letter in SAMPLES.values()} == set(MailKind)
    assert set(FACTS) == set(MailKind)


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize(("kind", "fact"), [(kind, fact) for kind in MailKind for fact in sorted(required_facts(kind))])
def test_a_missing_fact_is_refused_by_name(kind: MailKind, fact: str) -> None:
    letter = letter_of(kind)
    without = replace(letter, facts={name: value for name, value in letter.facts.items() if name != fact})
    with pytest.raises(PermanentError, match=rf"{kind.value}.*4242.*{fact}"):
        render(without)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (MailKind.PASSWORD_READY, {"views": "two"}),
        (MailKind.PASSWORD_READY, {"views": "-1"}),
        (MailKind.PASSWORD_READY, {"views": "٢"}),
        (MailKind.PASSWORD_READY, {"expires_at": "soon"}),
        (MailKind.PASSWORD_READY, {"expires_at": "2026-11-22T14:05:00"}),
        (MailKind.PASSWORD_READY, {"expires_at": ""}),
        (MailKind.PASSWORD_READY, {"action": "delete"}),
        (MailKind.REQUEST_DECLINED, {"action": ""}),
    ],
)
def test_a_malformed_fact_is_refused_without_repeating_it(kind: MailKind, facts: Mapping[str, str]) -> None:
    with pytest.raises(PermanentError) as refusal:
        render(letter_of(kind, **facts))
    (name, value), *_ = facts.items()
    assert name in str(refusal.value)
    assert not value or value not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_fact_that_the_kind_does_not_know_is_not_shown() -> None:
    word = secrets.token_hex(8)
    email = render(letter_of(MailKind.TIMED_OUT, reason=word, link=word, password=word))
    assert word not in f"{email.subject}{email.text}{email.html}"


def test_facts_that_may_be_empty_leave_whole_sentences() -> None:
    empty = {"subject_name": "", "subject_upn": "", "action": "", "reason": ""}
    email = render(replace(letter_of(MailKind.HANDED_TO_PERSON, **empty), to_name=""))
    assert email.subject == "[#4242] A technician takes over: account reset for the person you named"
    assert email.text.startswith("Hello,\n")
    assert "Why:" not in email.text
    assert "()" not in email.text


def test_an_address_known_by_nothing_but_itself_is_said_once() -> None:
    upn = "alex@contoso.com"
    email = render(letter_of(MailKind.TIMED_OUT, subject_name=upn, subject_upn=upn))
    assert f"{upn} ({upn})" not in email.text
    assert upn in email.text


# ---------------------------------------------------------------- what the texts promise


def test_the_password_mail_says_how_long_how_often_and_what_to_do() -> None:
    text = flat(render(SAMPLES["password_ready"]).text)
    for promise in ("60 minutes", "at most twice", 'only "Show password" uses a view', "links are not re-issued"):
        assert promise in text
    assert "mysignins" not in text


def test_the_password_mail_names_no_button_of_a_page_that_is_not_ours() -> None:
    foreign = Renderer(BRAND, zone=in_london, sender_domain="msp.example.com", own_page=False)
    email = render(SAMPLES["password_ready"], foreign)
    for said in (flat(email.text), Page(email.html).text):
        assert "Show password" not in said
        assert "oing on from there uses a view" in said
        assert "go on to the password, and read it out" in said


def test_after_both_the_password_mail_also_says_how_to_register_again() -> None:
    email = render(SAMPLES["password_ready_both"])
    for said in (flat(email.text), Page(email.html).text):
        assert "mysignins.microsoft.com/security-info" in said
        assert "More information required" in said


def test_the_mfa_mail_says_what_was_removed_and_what_to_do_when_nobody_asks() -> None:
    email = render(SAMPLES["mfa_reset_done_left"])
    for said in (flat(email.text), Page(email.html).text):
        assert "phone (mobile)" in said
        assert "Windows Hello: the directory refused its removal" in said
        assert "No prompt? Sign out everywhere" in said
        assert "Have the phone to hand" in said


def test_an_mfa_reset_that_found_nothing_says_so() -> None:
    assert "nothing to remove" in render(letter_of(MailKind.MFA_RESET_DONE, removed="", left="")).text


def test_the_confirmation_of_an_mfa_reset_promises_no_link() -> None:
    text = render(SAMPLES["request_confirmation_mfa"]).text
    assert "60 minutes" not in text
    assert "temporary password" not in text


def test_the_confirmation_says_how_to_do_without_us() -> None:
    text = flat(render(SAMPLES["request_confirmation"]).text)
    assert "https://myaccount.microsoft.com" in text
    assert "clears by itself within minutes" in text
    assert "Be ready then: the link works for 60 minutes" in text


def test_the_declined_mail_asks_to_talk_rather_than_to_ask_again() -> None:
    text = flat(render(SAMPLES["request_declined"]).text)
    assert "don't raise the same request again" in text
    assert "talk to IT" in text


def test_the_accessed_mail_counts_the_views() -> None:
    first, last = (flat(render(SAMPLES[name]).text) for name in ("link_accessed", "link_accessed_last"))
    assert "View: 1 of 2" in first
    assert "You may look once more" in first
    assert "View: 2 of 2" in last
    assert "The link is used up now" in last


@pytest.mark.parametrize("view", ["0", "1"])
def test_the_facts_of_the_accessed_mail_stand_apart_from_what_follows(view: str) -> None:
    text = render(letter_of(MailKind.LINK_ACCESSED, view=view, views_left="1")).text
    facts, _, rest = text.partition("Was this you?")
    assert rest
    assert facts.endswith("\n\n")


def test_the_accessed_mail_counts_no_view_where_none_was_used_up() -> None:
    email = render(letter_of(MailKind.LINK_ACCESSED, view="0", views_left="2"))
    assert "View: none used up" in flat(email.text)
    assert "View none used up" in Page(email.html).text
    for said in (flat(email.text), Page(email.html).text):
        assert "0 of" not in said
        assert "You may look twice more" in said


@pytest.mark.parametrize("name", ["link_accessed", "link_accessed_last", "subject_notice", "subject_notice_mfa"])
def test_this_was_not_me_is_one_button_and_the_phone_is_the_second_way(name: str) -> None:
    alarm = f"https://links.example.com/n/{secrets.token_urlsafe(24)}"
    email = RENDERER.write(SAMPLES[name], link=Secret(alarm))
    page = Page(email.html)
    assert (page.addresses.count(alarm), page.text.count(alarm), email.text.count(alarm)) == (1, 0, 1)
    assert alarm not in email.subject + repr(email)
    for said in (flat(email.text), page.text):
        assert "This was not me" in said
        assert re.search(rf"Or call {BRAND.name} \( ?{re.escape(BRAND.phone)} ?\)", said)


@pytest.mark.parametrize("name", ["link_accessed_without_alarm", "subject_notice_without_alarm"])
def test_without_an_alarm_the_phone_is_the_way_out(name: str) -> None:
    email = render(SAMPLES[name])
    for said in (flat(email.text), Page(email.html).text):
        assert re.search(rf"Call {BRAND.name} at once: {re.escape(BRAND.phone)}", said)
        assert "Or call" not in said
    assert "/n/" not in email.text + email.html


def test_the_notice_says_who_asked_who_approved_when_and_what_was_done() -> None:
    email = render(SAMPLES["subject_notice_both"])
    for said in (flat(email.text), Page(email.html).text):
        assert "The password and the sign-in methods (MFA) of Alex (alex@contoso.com) were reset" in said
        assert "signed out everywhere" in said
        assert "Megan (megan@contoso.com)" in said
        assert "Nestor (nestor.wilke@contoso.com), Patti (patti@contoso.com)" in said
        assert "Sunday 22 November 2026, 13:05 GMT" in said


def test_the_notice_of_an_mfa_reset_speaks_of_no_link() -> None:
    email = render(SAMPLES["subject_notice_mfa"])
    for said in (flat(email.text), Page(email.html).text):
        assert "one-time link" not in said
        assert "ends the link" not in said


def test_a_manager_is_asked_to_ask() -> None:
    email = render(SAMPLES["subject_notice_manager"])
    for said in (flat(email.text), Page(email.html).text):
        assert "You hear of it as the manager of Alex: please ask Alex whether this was wanted." in said
        assert "This was not wanted" in said
        assert "your account" not in said.casefold()


def test_a_notice_that_nobody_asked_for_or_approved_has_whole_sentences() -> None:
    email = render(letter_of(MailKind.SUBJECT_NOTICE, requested_by="", approved_by=""))
    for said in (flat(email.text), Page(email.html).text):
        assert "Asked for by" not in said.replace("Asked for by the service desk.", "")
        assert "Approved by" not in said
        assert "Whoever asked for it got a one-time link" in said


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("megan@contoso.com\tMegan", "Megan (megan@contoso.com)"),
        ("\tMegan", "Megan"),
        ("megan@contoso.com\t", "megan@contoso.com"),
        ("megan@contoso.com\tmegan@contoso.com", "megan@contoso.com"),
        ("see evil.example/login\tMegan", "Megan (see [link removed])"),
    ],
)
def test_people_are_shown_by_name_and_address(line: str, shown: str) -> None:
    assert f"Asked for by: {shown}\n" in render(letter_of(MailKind.SUBJECT_NOTICE, requested_by=line)).text


def test_who_is_told_that_it_was_stopped_is_asked_to_wait() -> None:
    for name in ("not_me", "not_me_mfa"):
        email = render(SAMPLES[name])
        for said in (flat(email.text), Page(email.html).text):
            assert "please don’t raise a new request before we have spoken" in said.replace("'", "’")
            assert "will get in touch with you" in said
            assert ("The link is ended" in said) is (name == "not_me")
            assert "203.0.113" not in said


def test_the_reminder_goes_to_the_approver_and_says_that_a_reply_is_no_approval() -> None:
    email = render(SAMPLES["approval_reminder"])
    assert email.to == "nestor.wilke@contoso.com"
    assert "A reply to this email does not count" in flat(email.text)


# ---------------------------------------------------------------- the link


def test_the_link_stands_in_the_password_mail_once_as_a_button_and_once_to_copy() -> None:
    address = f"https://links.example.com/s/{secrets.token_urlsafe(32)}?a=1&b=2"
    email = RENDERER.write(SAMPLES["password_ready"], link=Secret(address))
    assert email.text.count(address) == 1
    page = Page(email.html)
    assert page.addresses.count(address) == 1
    assert page.text.count(address) == 1
    assert address not in email.subject
    assert address not in repr(email)


@pytest.mark.parametrize("kind", sorted(set(MailKind) - {MailKind.PASSWORD_READY} - WITH_ALARM))
def test_a_link_is_refused_by_every_other_mail(kind: MailKind) -> None:
    address = f"https://links.example.com/s/{secrets.token_urlsafe(32)}"
    with pytest.raises(PermanentError, match=kind.value) as refusal:
        RENDERER.write(letter_of(kind), link=Secret(address))
    assert address not in str(refusal.value)


@pytest.mark.parametrize(
    "address", [None, "", "javascript:alert(1)", "https://", "https://a.example/\r\nx", 'https://a.example/"x', "//a"]
)
def test_the_password_mail_is_not_written_without_a_usable_link(address: str | None) -> None:
    with pytest.raises(PermanentError, match="link") as refusal:
        RENDERER.write(SAMPLES["password_ready"], link=None if address is None else Secret(address))
    assert not address or address not in str(refusal.value)


@pytest.mark.parametrize("kind", sorted(WITH_ALARM))
@pytest.mark.parametrize("address", ["", "javascript:alert(1)", "https://", 'https://a.example/"x', "//a"])
def test_an_alarm_that_is_no_address_is_not_mailed(kind: MailKind, address: str) -> None:
    with pytest.raises(PermanentError, match="link") as refusal:
        RENDERER.write(letter_of(kind), link=Secret(address))
    assert not address or address not in str(refusal.value)


# ---------------------------------------------------------------- people's own words

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<a href='https://evil.example'>Approve</a>",
    "{{ link }}{% include '_layout.txt' %}",
    "--><style>body{display:none}</style><!--",
    "</td></tr></table><h1>Approved</h1>",
    "Please sign in at https://evil.example/login now",
    "Please sign in at HTTP://EVIL.EXAMPLE now",
    "www.evil.example",
    "evil.example/login",
    "evil.example",
    "evil\u3002example/login",
    "javascript:alert(1)",
    "mailto:eve@evil.example",
    "tel:+441234567890",
    "\u202eelpmaxe.live//:sptth",
    "Bcc: eve@evil.example\r\nSubject: Hi",
    "line\u2028break\u2029\x85\x00\x1b[31m",
    "x" * 100_000,
    "\ud800 lone surrogate",
]
CLICKABLE = re.compile(r"://|www\.|evil[.\u3002]example|javascript:|mailto:|\btel:", re.IGNORECASE)
UNWANTED = re.compile(r"[\u202a-\u202e\u2066-\u2069\u2028\u2029\x00\x1b\x85\ud800-\udfff]")
BY_PEOPLE = [
    (kind, fact)
    for kind in MailKind
    for fact in ("subject_name", "subject_upn", *FACTS[kind])
    if fact in ("subject_name", "subject_upn")
    or FACTS[kind][fact].form in (Form.NAME, Form.TEXT, Form.IP, Form.LINES, Form.PEOPLE, Form.ADDRESS)
]


@pytest.mark.parametrize("said", HOSTILE)
def test_what_people_write_does_nothing_in_any_mail(said: str) -> None:
    for kind, fact in BY_PEOPLE:
        usual = render(letter_of(kind))
        email = render(replace(letter_of(kind, **{fact: said}), to_name=said))
        page, usual_page = Page(email.html), Page(usual.html)
        assert set(page.tags) <= set(usual_page.tags) | {"li", "ul", "tr", "th", "td", "table", "p"}
        assert page.tags.count("h1") == 1
        assert [address for address in page.addresses if not OURS.fullmatch(address)] == []
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        for shown in (email.subject, email.text, page.text):
            ours = OURS.sub("", shown)
            assert not re.search(r"://|www\.|evil[.\u3002]example|javascript:|mailto:|\btel:", ours, re.IGNORECASE), (
                fact
            )
            assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u2028\u2029\x00\x1b\x85\ud800-\udfff]", shown)
        assert "\n" not in email.subject
        assert "\r" not in email.subject + email.text
        assert len(email.subject) <= 140
        assert len(email.text) < 6000


def test_what_people_write_is_shown_as_they_wrote_it() -> None:
    said = "Tom & Jerry's \"quick\" <fix> – naïve, 日本, 10.30 o'clock"
    email = render(letter_of(MailKind.REQUEST_DECLINED, approver_comment=said))
    assert said in flat(email.text)
    assert said in Page(email.html).text


@given(said=st.text(max_size=300))
def test_no_text_breaks_a_mail(said: str) -> None:
    letter = letter_of(MailKind.REQUEST_DECLINED, approver_comment=said, approver_name=said, subject_name=said)
    email = render(replace(letter, to_name=said, ticket=f"42{said}"))
    assert Page(email.html).tags.count("h1") == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", email.subject)
    assert f"{email.subject}{email.text}{email.html}".encode()


@pytest.mark.parametrize(
    "address",
    ["", "rita", "rita@example.com\r\nBcc: eve@example.com", "rita@example.com,eve@example.com", "R <r@example.com>"],
)
def test_a_letter_to_no_address_is_refused(address: str) -> None:
    with pytest.raises(PermanentError, match="address"):
        render(replace(SAMPLES["timed_out"], to=address))


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        ("Europe/Berlin", "2026-11-22T13:05:00+00:00", "Sunday 22 November 2026, 14:05 CET"),
        ("Europe/Berlin", "2026-07-01T22:30:00+00:00", "Thursday 2 July 2026, 00:30 CEST"),
        ("Europe/Berlin", "2026-10-25T00:30:00+00:00", "Sunday 25 October 2026, 02:30 CEST"),
        ("Europe/Berlin", "2026-10-25T01:30:00+00:00", "Sunday 25 October 2026, 02:30 CET"),
        ("Europe/London", "2026-03-29T00:59:00+00:00", "Sunday 29 March 2026, 00:59 GMT"),
        ("Europe/London", "2026-03-29T01:00:00+00:00", "Sunday 29 March 2026, 02:00 BST"),
        ("America/New_York", "2026-11-22T02:05:00+02:00", "Saturday 21 November 2026, 19:05 EST"),
        ("America/Sao_Paulo", "2026-11-22T13:05:00Z", "Sunday 22 November 2026, 10:05 UTC-03"),
        ("Asia/Kathmandu", "2026-11-22T13:05:00Z", "Sunday 22 November 2026, 18:50 UTC+05:45"),
    ],
)
def test_times_are_the_customers_across_changes_of_the_clock(zone: str, at: str, shown: str) -> None:
    renderer = Renderer(BRAND, zone=lambda _: ZoneInfo(zone), sender_domain="msp.example.com")
    email = render(letter_of(MailKind.LINK_EXPIRED, expired_at=at), renderer)
    assert shown in flat(email.text)
    assert shown in Page(email.html).text


def test_each_tenant_has_its_own_zone() -> None:
    zones = {"contoso": ZoneInfo("Europe/London"), "fabrikam": ZoneInfo("Asia/Tokyo")}
    renderer = Renderer(BRAND, zone=zones.__getitem__, sender_domain="msp.example.com")
    letter = letter_of(MailKind.LINK_EXPIRED, expired_at="2026-11-22T13:05:00+00:00")
    assert "13:05 GMT" in render(letter, renderer).text
    assert "22:05 JST" in render(replace(letter, tenant="fabrikam"), renderer).text


# ---------------------------------------------------------------- identity and brand


def test_the_same_letter_has_the_same_message_id_and_another_has_another() -> None:
    letter = SAMPLES["timed_out"]
    first = render(letter).message_id
    assert render(replace(letter, facts={**letter.facts, "waited_days": "8"})).message_id == first
    assert render(replace(letter, id="case-1/other key\r\n")).message_id != first
    assert re.fullmatch(r"<[0-9a-f]{32}@msp\.example\.com>", first)


@pytest.mark.parametrize(
    ("colour", "letters"),
    [("#1f4e79", "#ffffff"), ("#ffd500", "#16191d"), ("#000000", "#ffffff"), ("#fff0e0", "#16191d")],
)
def test_letters_on_the_brand_colour_can_be_read(colour: str, letters: str) -> None:
    brand = Brand("Desk", "1234", colour=colour)
    assert brand.letters == letters
    renderer = Renderer(brand, zone=lambda _: UTC, sender_domain="msp.example.com")
    assert f'bgcolor="{colour}"' in render(SAMPLES["password_ready"], renderer).html


@pytest.mark.parametrize("phone", ["+44 (0)20 7946 0123", "+44 20-7946-0123", "+44 20 7946 0123 ext. 9"])
def test_the_phone_number_can_be_tapped(phone: str) -> None:
    renderer = Renderer(Brand("Desk", phone), zone=lambda _: UTC, sender_domain="msp.example.com")
    assert "tel:+442079460123" in Page(render(SAMPLES["timed_out"], renderer).html).addresses


@pytest.mark.parametrize("name", SAMPLES)
def test_a_desk_without_phone_and_portal_is_contacted_in_whole_sentences(name: str) -> None:
    renderer = Renderer(Brand("The Desk"), zone=lambda _: UTC, sender_domain="msp.example.com")
    email = render(SAMPLES[name], renderer)
    for said in (flat(email.text), Page(email.html).text):
        assert re.search("(Contact|Or contact) The Desk", said)
        assert not re.search(r"The Desk:|Phone:|Portal:|portal", said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "A\r\nB"},
        {"phone": "1\n2"},
        {"url": "javascript:alert(1)"},
        {"url": "portal"},
        {"url": 'https://a.example/"'},
        {"colour": "red"},
        {"colour": "#fff;}"},
    ],
)
def test_a_brand_that_could_break_a_mail_is_refused(wrong: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Brand(**{"name": "Desk", "phone": "1234", **wrong})
