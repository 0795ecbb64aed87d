"""What every `Mailer` promises. Subclass `MailerContract` and give it a `post`: the mailer and the far end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol

import pytest

from connector.core.ports import Email, Level, Mailer
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError

REQUESTER = "rita.o'neill+it@contoso.example.com"


@dataclass(frozen=True)
class Delivered:
    """A mail as the far end got it, decoded."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str


class PostOffice(Protocol):
    """A mailer, and what a test can do at the other end of the wire."""

    mailer: Mailer

    def delivered(self) -> list[Delivered]:
        """What was accepted so far, oldest first."""

    def refuse(self, address: str) -> None:
        """From now on this recipient is refused for good."""

    def make_busy(self, address: str) -> None:
        """From now on this recipient is to be tried later."""

    def change_password(self) -> None:
        """From now on our sign-in is refused."""

    def go_down(self) -> None:
        """From now on nobody answers."""


def an_email(*, to: str = REQUESTER, subject: str = "[#4242] Password ready for Lea Müller – 60 minutes") -> Email:
    """A mail with what is easily broken on the way: long lines, dots at their start, letters of many languages."""
    word = secrets.token_urlsafe(12)
    return Email(
        message_id=f"<{secrets.token_hex(16)}@msp.example.com>",
        to=to,
        subject=subject,
        text=f"Grüße, Ελένη, 日本.\n.\n..dots\nhttps://links.example.com/s/{word * 9}\n",
        html=f'<p>Grüße &amp; {word}</p>\n<p><a href="https://links.example.com/s/{word * 9}?a=1&amp;b=2">.</a></p>\n',
    )


class MailerContract:
    """The promises. `post` is a fixture of the subclass.

    Attributes:
        carries_text: Whether the plain text travels beside the HTML; where it does not, it arrives empty.
        healthy: What the check finds where everything is as in `post`.
    """

    carries_text = True
    healthy: tuple[Level, ...] = (Level.OK,)

    def test_a_mail_arrives_as_it_was_given(self, post: PostOffice) -> None:
        email = an_email()
        post.mailer.send(email)
        text = email.text if self.carries_text else ""
        assert post.delivered() == [Delivered(email.message_id, email.to, email.subject, text, email.html)]

    @pytest.mark.parametrize(
        "subject",
        [
            "[#4201] Stopped: somebody reported the reset for Zoë Müller",
            "[#4201] Password of Émilie Ångström-Übermäßig and Ísabel Çelik Ñuñez was reset just now",
            "[#4201] Пароль учётной записи Анны Ивановой сброшен, ссылка действует шестьдесят минут",
            "[#4201] Password ready for " + "日本語の名前 " * 12 + "now",
        ],
    )
    def test_any_subject_arrives_as_it_was_written(self, post: PostOffice, subject: str) -> None:
        post.mailer.send(an_email(subject=subject))
        assert [mail.subject for mail in post.delivered()] == [subject]

    def test_asking_whether_it_is_ready_sends_nothing(self, post: PostOffice) -> None:
        post.mailer.ready()
        assert post.delivered() == []

    def test_a_repeat_carries_the_same_message_id(self, post: PostOffice) -> None:
        email = an_email()
        post.mailer.send(email)
        post.mailer.send(email)
        assert [delivered.message_id for delivered in post.delivered()] == [email.message_id, email.message_id]

    def test_a_recipient_refused_for_good_is_permanent_and_others_still_get_theirs(self, post: PostOffice) -> None:
        post.refuse(REQUESTER)
        with pytest.raises(PermanentError):
            post.mailer.send(an_email())
        post.mailer.send(an_email(to="anna@contoso.example.com"))
        assert [delivered.to for delivered in post.delivered()] == ["anna@contoso.example.com"]

    def test_a_recipient_to_be_tried_later_is_temporary(self, post: PostOffice) -> None:
        post.make_busy(REQUESTER)
        with pytest.raises(TemporaryError):
            post.mailer.send(an_email())
        assert post.delivered() == []

    def test_a_refused_sign_in_pauses_mail(self, post: PostOffice) -> None:
        post.change_password()
        with pytest.raises(AuthenticationError) as refusal:
            post.mailer.ready()
        assert refusal.value.scope == "mail"
        with pytest.raises(AuthenticationError) as refusal:
            post.mailer.send(an_email())
        assert refusal.value.scope == "mail"
        assert post.delivered() == []

    def test_a_server_that_is_away_is_temporary(self, post: PostOffice) -> None:
        post.go_down()
        with pytest.raises(TemporaryError):
            post.mailer.ready()
        with pytest.raises(TemporaryError):
            post.mailer.send(an_email())

    @pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\0"])
    def test_no_header_can_be_smuggled_in(self, post: PostOffice, break_: str) -> None:
        smuggled = f"{break_}Bcc: eve@example.com"
        for email in (
            an_email(subject=f"Hello{smuggled}"),
            an_email(to=f"{REQUESTER}{smuggled}"),
            Email(f"<a@example.com>{smuggled}", REQUESTER, "Hello", "text", "<p>html</p>"),
        ):
            with pytest.raises(PermanentError):
                post.mailer.send(email)
        assert post.delivered() == []

    def test_no_failure_shows_what_the_mail_says(self, post: PostOffice) -> None:
        email = an_email()
        post.refuse(email.to)
        failures: list[ConnectorError] = []
        for trouble in (None, post.change_password, post.go_down):
            if trouble:
                trouble()
            with pytest.raises(ConnectorError) as failure:
                post.mailer.send(email)
            failures.append(failure.value)
        for error in failures:
            shown = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
            assert "links.example.com" not in shown
            assert email.subject not in shown

    def test_the_check_finds_a_healthy_server_and_sends_nothing(self, post: PostOffice) -> None:
        assert tuple(finding.level for finding in post.mailer.check()) == self.healthy
        assert post.delivered() == []

    def test_the_check_reports_trouble_instead_of_raising_it(self, post: PostOffice) -> None:
        post.go_down()
        errors = [finding for finding in post.mailer.check() if finding.level is Level.ERROR]
        assert len(errors) == 1
        assert errors[0].todo
