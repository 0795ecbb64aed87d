"""The mail sink takes mails, offers STARTTLS and AUTH, and refuses on demand."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.sandbox.conftest import BEN, Stage


@pytest.fixture
def client(stage: Stage) -> Iterator[smtplib.SMTP]:
    connection = smtplib.SMTP(stage.addresses.smtp_host, stage.addresses.smtp_port, timeout=10)
    yield connection
    connection.close()


def message(subject: str = "Password ready") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "IT Support <support@msp.example>", BEN, subject
    mail["Message-ID"] = "<one@msp.example>"
    mail.set_content("Grüße as text")
    mail.add_alternative("<p>Grüße as <b>HTML</b></p>", subtype="html")
    return mail


def test_a_mail_is_kept_with_its_parts(stage: Stage, client: smtplib.SMTP) -> None:
    client.send_message(message("Zurückgesetzt"))
    mail = stage.control("GET", "mails")[0]
    assert (mail["via"], mail["recipients"], mail["subject"]) == ("smtp", [BEN], "Zurückgesetzt")
    assert (mail["sender"], mail["message_id"]) == ("IT Support <support@msp.example>", "<one@msp.example>")
    assert mail["text"].strip() == "Grüße as text"
    assert "<b>HTML</b>" in mail["html"]


def test_the_same_mail_twice_is_two_mails(stage: Stage, client: smtplib.SMTP) -> None:
    client.send_message(message())
    client.send_message(message())
    assert len(stage.control("GET", "mails")) == 2
    stage.control("DELETE", "mails")
    assert stage.control("GET", "mails") == []


def test_starttls_uses_the_sandboxs_authority_and_then_offers_a_login(stage: Stage, client: smtplib.SMTP) -> None:
    client.ehlo()
    assert "auth" not in client.esmtp_features
    client.starttls(context=ssl.create_default_context(cafile=str(stage.addresses.ca_bundle)))
    known = stage.world.credentials
    assert client.login(known.smtp_user, known.smtp_password)[0] == 235
    client.send_message(message())
    assert len(stage.control("GET", "mails")) == 1


def test_a_wrong_login_is_refused(stage: Stage, client: smtplib.SMTP) -> None:
    client.starttls(context=ssl.create_default_context(cafile=str(stage.addresses.ca_bundle)))
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(stage.world.credentials.smtp_user, "wrong")


def test_a_stranger_does_not_trust_the_certificate(stage: Stage, client: smtplib.SMTP) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
    assert stage.control("GET", "mails") == []


@pytest.mark.parametrize(
    ("match", "status", "error"),
    [
        ("RCPT ben@", 550, smtplib.SMTPRecipientsRefused),
        ("RCPT", 450, smtplib.SMTPRecipientsRefused),
        ("MAIL", 450, smtplib.SMTPSenderRefused),
        ("DATA Password", 552, smtplib.SMTPDataError),
    ],
)
def test_it_can_be_told_to_refuse_and_then_keeps_nothing(
    stage: Stage, client: smtplib.SMTP, match: str, status: int, error: type[smtplib.SMTPException]
) -> None:
    stage.fault("smtp", "status", match=match, status=status)
    with pytest.raises(error) as raised:
        client.send_message(message())
    assert str(status) in str(raised.value)
    assert stage.control("GET", "mails") == []
    client.send_message(message())
    assert len(stage.control("GET", "mails")) == 1


@pytest.mark.parametrize(("kind", "kept"), [("cut_before", 0), ("cut_after", 1)])
def test_the_connection_can_be_cut_before_or_after_the_mail_is_kept(
    stage: Stage, client: smtplib.SMTP, kind: str, kept: int
) -> None:
    stage.fault("smtp", kind, match="DATA")
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        client.send_message(message())
    assert len(stage.control("GET", "mails")) == kept
