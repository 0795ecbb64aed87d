"""SMTP against true servers on loopback: encryption, sign-in, refusals, and servers that break off."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.adapter import Surroundings
from connector.config import HttpSection, Place, validate
from connector.core.ports import Email, Level, Mailer
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.mail.smtp import SmtpMailer, SmtpSettings
from tests.contracts.mailer import REQUESTER, Delivered, MailerContract, PostOffice, an_email
from tests.mail.server import Answer, MailServer, running, scripted

NOW = datetime(2026, 11, 22, 13, 5, tzinfo=UTC)
DEMO = Place(Path(), production=False, environ={})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def tls_of(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[MailServer]:
    with running(MailServer(authority, tls_of(authority))) as server:
        yield server


def settings_for(port: int, **keys: Any) -> SmtpSettings:
    section = {"host": "127.0.0.1", "port": port, "from": "IT Support <support@msp.example.com>", "timeout": "5s"}
    return validate(SmtpSettings, {**section, **keys}, DEMO, where="mail")


def mailer_for(server: MailServer, bundle: Path | None, **keys: Any) -> SmtpMailer:
    keys = {"username": server.user, "password": Secret(server.password), **keys}
    return SmtpMailer(settings_for(server.port, **keys), ca_bundle=bundle, clock=lambda: NOW)


def plain_mailer(port: int, **keys: Any) -> SmtpMailer:
    return SmtpMailer(settings_for(port, starttls=False, **keys), clock=lambda: NOW)


# ---------------------------------------------------------------- the contract


class SmtpPost:
    def __init__(self, server: MailServer, mailer: SmtpMailer, stop: Callable[[], None]) -> None:
        self._server = server
        self._stop = stop
        self.mailer: Mailer = mailer

    def delivered(self) -> list[Delivered]:
        mails = []
        for message in self._server.accepted:
            text, html = message.get_body(("plain",)), message.get_body(("html",))
            assert text is not None
            assert html is not None
            mails.append(
                Delivered(
                    message["Message-ID"],
                    message["To"],
                    message["Subject"],
                    text.get_content().replace("\r\n", "\n"),
                    html.get_content().replace("\r\n", "\n"),
                )
            )
        return mails

    def refuse(self, address: str) -> None:
        self._server.refusals[f"RCPT {address}"] = "550 5.1.1 No such mailbox"

    def make_busy(self, address: str) -> None:
        self._server.refusals[f"RCPT {address}"] = "450 4.2.0 Greylisted"

    def change_password(self) -> None:
        self._server.password = secrets.token_urlsafe(16)

    def go_down(self) -> None:
        self._stop()


class TestSmtpMailer(MailerContract):
    @pytest.fixture
    def post(self, authority: trustme.CA, bundle: Path) -> Iterator[PostOffice]:
        with ExitStack() as stack:
            server = stack.enter_context(running(MailServer(authority, tls_of(authority))))
            yield SmtpPost(server, mailer_for(server, bundle), stack.close)


# ---------------------------------------------------------------- what the mail looks like


def test_the_headers_name_us_and_ask_robots_not_to_answer(server: MailServer, bundle: Path) -> None:
    mailer_for(server, bundle, reply_to="Service Desk <desk@msp.example.com>").send(an_email())
    message = server.accepted[0]
    assert message["From"] == "IT Support <support@msp.example.com>"
    assert message["Reply-To"] == "Service Desk <desk@msp.example.com>"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert server.envelopes[0].mail_from == "support@msp.example.com"
    assert server.envelopes[0].rcpt_tos == [REQUESTER]


def test_no_line_is_longer_than_mail_servers_take(server: MailServer, bundle: Path) -> None:
    email = an_email()
    mailer_for(server, bundle).send(Email(email.message_id, email.to, "Ä" * 200, "x" * 5000, "<p>" + "y" * 5000))
    content = server.envelopes[0].content
    assert isinstance(content, bytes)
    assert max(len(line) for line in content.split(b"\r\n")) <= 78
    assert content.isascii()


def test_a_sender_with_a_non_ascii_name_is_encoded(server: MailServer, bundle: Path) -> None:
    mailer_for(server, bundle, **{"from": '"Müller, IT" <support@msp.example.com>'}).send(an_email())
    assert server.accepted[0]["From"].addresses[0].display_name == "Müller, IT"
    assert server.accepted[0]["From"].addresses[0].addr_spec == "support@msp.example.com"


# ---------------------------------------------------------------- the way there


def test_the_mail_and_the_sign_in_go_over_starttls(server: MailServer, bundle: Path) -> None:
    mailer_for(server, bundle).send(an_email())
    assert server.encrypted == [True]
    assert server.signed_in == [server.user]


def test_implicit_tls_works_too(authority: trustme.CA, bundle: Path) -> None:
    with running(MailServer(authority, tls_of(authority)), implicit_tls=True) as server:
        settings = settings_for(server.port, tls=True)
        SmtpMailer(settings, ca_bundle=bundle).send(an_email())
        assert len(server.accepted) == 1
        assert [finding.level for finding in SmtpMailer(settings, ca_bundle=bundle).check()] == [Level.OK]


@pytest.mark.parametrize("implicit_tls", [False, True])
def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA, implicit_tls: bool) -> None:
    with running(MailServer(authority, tls_of(authority)), implicit_tls=implicit_tls) as server:
        mailer = mailer_for(server, None, tls=implicit_tls)
        with pytest.raises(TemporaryError, match="certificate"):
            mailer.ready()
        with pytest.raises(TemporaryError, match="certificate"):
            mailer.send(an_email())
        assert server.accepted == []
        assert server.signed_in == []


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, bundle: Path) -> None:
    with running(MailServer(authority, tls_of(authority, "mail.example.net"))) as server:
        with pytest.raises(TemporaryError, match="certificate"):
            mailer_for(server, bundle).send(an_email())
        assert server.accepted == []
        assert server.signed_in == []


def test_without_starttls_nothing_is_sent_and_no_password_tried(authority: trustme.CA, bundle: Path) -> None:
    with running(MailServer(authority, None)) as server:
        with pytest.raises(TemporaryError, match="STARTTLS"):
            mailer_for(server, bundle).send(an_email())
        assert server.accepted == []
        assert server.signed_in == []


def test_a_server_that_speaks_no_tls_where_tls_is_due_is_temporary(authority: trustme.CA, bundle: Path) -> None:
    with running(MailServer(authority, None)) as server, pytest.raises(TemporaryError, match=r"mail\.port"):
        mailer_for(server, bundle, tls=True).ready()


def test_an_old_tls_version_is_refused(authority: trustme.CA, bundle: Path) -> None:
    old = tls_of(authority)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with running(MailServer(authority, old)) as server:
        with pytest.raises(TemporaryError, match="encrypted connection"):
            mailer_for(server, bundle).send(an_email())
        assert server.accepted == []


# ---------------------------------------------------------------- sign-in


def test_a_wrong_password_pauses_mail_and_shows_no_password(server: MailServer, bundle: Path) -> None:
    wrong = secrets.token_urlsafe(16)
    mailer = mailer_for(server, bundle, password=Secret(wrong))
    with pytest.raises(AuthenticationError, match=r"535.*mail\.password") as refusal:
        mailer.ready()
    assert refusal.value.scope == "mail"
    assert refusal.value.__context__ is None
    assert wrong not in str(refusal.value)
    assert wrong not in f"{mailer.__dict__}{settings_for(server.port, username='u', password=Secret(wrong))!r}"


def test_a_server_that_wants_a_sign_in_and_gets_none_pauses_mail(authority: trustme.CA, bundle: Path) -> None:
    with running(MailServer(authority, tls_of(authority), needs_sign_in=True)) as server:
        mailer = SmtpMailer(settings_for(server.port), ca_bundle=bundle)
        with pytest.raises(AuthenticationError, match="530"):
            mailer.send(an_email())
        assert server.accepted == []


def test_a_server_that_offers_no_sign_in_pauses_mail() -> None:
    with scripted(polite()) as port:
        mailer = plain_mailer(port, username="connector", password=Secret(secrets.token_urlsafe(8)))
        with pytest.raises(AuthenticationError, match="no way of signing in"):
            mailer.ready()


def test_a_sign_in_that_is_put_off_is_temporary() -> None:
    answers = polite(EHLO="250-mail.example.com\r\n250 AUTH PLAIN", AUTH="454 4.7.0 Temporary authentication failure")
    with scripted(answers) as port:
        mailer = plain_mailer(port, username="connector", password=Secret(secrets.token_urlsafe(8)))
        with pytest.raises(TemporaryError, match=r"454 4\.7\.0"):
            mailer.ready()


def test_a_sender_that_we_may_not_use_pauses_mail(server: MailServer, bundle: Path) -> None:
    server.refusals["MAIL"] = "550 5.7.1 Not your address"
    with pytest.raises(AuthenticationError, match=r"mail\.from"):
        mailer_for(server, bundle).send(an_email())
    assert server.accepted == []


def test_exchange_refusing_to_send_as_us_pauses_mail_instead_of_giving_up_a_case(
    server: MailServer, bundle: Path
) -> None:
    server.refusals["DATA"] = "554 5.7.60 SMTP; Client does not have permissions to send as this sender"
    with pytest.raises(AuthenticationError):
        mailer_for(server, bundle).send(an_email())


# ---------------------------------------------------------------- refusals and bad days


def polite(**answers: Answer) -> Callable[[str], Answer]:
    """A server that says yes to everything, save what is given by verb (`END` for the end of the mail)."""
    usual: dict[str, Answer] = {"EHLO": "250 mail.example.com", "DATA": "354 Go on", "QUIT": "221 Bye"}

    def answer(line: str) -> Answer:
        verb = "END" if line == "." else line.split(" ")[0].upper().partition(":")[0]
        return {**usual, **answers}.get(verb, "250 OK")

    return answer


@pytest.mark.parametrize(
    ("answers", "error", "seen"),
    [
        ({"RCPT": "550 5.1.1 No such mailbox"}, PermanentError, "550 5.1.1"),
        ({"RCPT": "553 Bad address"}, PermanentError, "553"),
        ({"RCPT": "450 4.2.0 Greylisted"}, TemporaryError, "450 4.2.0"),
        ({"RCPT": "452 4.5.3 Too many"}, TemporaryError, "452 4.5.3"),
        ({"RCPT": "530 5.7.57 Client not authenticated"}, AuthenticationError, "530 5.7.57"),
        ({"MAIL": "451 4.3.0 Later"}, TemporaryError, "451 4.3.0"),
        ({"MAIL": "421 4.3.2 Closing"}, TemporaryError, "421 4.3.2"),
        ({"DATA": "554 5.6.0 No"}, PermanentError, "554 5.6.0"),
        ({"END": "552 5.2.2 Mailbox full"}, PermanentError, "552 5.2.2"),
        ({"END": "451 4.7.1 Later"}, TemporaryError, "451 4.7.1"),
        ({"EHLO": "550 Not you", "HELO": "550 Not you"}, TemporaryError, "connect"),
        ({"RCPT": None}, TemporaryError, "recipient"),
        ({"DATA": None}, TemporaryError, "content"),
        ({"END": None}, TemporaryError, "content"),
        ({"MAIL": "nonsense"}, TemporaryError, "sender"),
    ],
)
def test_every_refusal_is_told_apart(answers: Mapping[str, Answer], error: type[ConnectorError], seen: str) -> None:
    with scripted(polite(**answers)) as port, pytest.raises(error, match=seen) as refusal:
        plain_mailer(port).send(an_email())
    assert refusal.value.__context__ is None


def test_a_server_that_turns_us_away_at_the_door_is_temporary() -> None:
    with scripted(polite(), greeting="554 5.7.1 Not from here") as port, pytest.raises(TemporaryError, match="554"):
        plain_mailer(port).ready()


def test_an_answer_that_repeats_the_mail_is_not_repeated_by_us(server: MailServer, bundle: Path) -> None:
    server.refusals["DATA"] = "550 5.7.1 I do not like"
    word = secrets.token_urlsafe(16)
    with pytest.raises(PermanentError, match=r"550 5\.7\.1") as refusal:
        mailer_for(server, bundle).send(Email("<a@example.com>", REQUESTER, "Hello", word, word))
    assert word not in f"{refusal.value!r}"
    assert "do not like" not in f"{refusal.value!r}"
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("goodbye", [None, "500 What?", "421 Too late"])
def test_a_mail_that_was_accepted_stays_sent_however_the_server_says_goodbye(goodbye: Answer) -> None:
    heard: list[str] = []
    usual = polite(QUIT=goodbye)

    def answer(line: str) -> Answer:
        heard.append(line)
        return usual(line)

    with scripted(answer) as port:
        plain_mailer(port).send(an_email())
    assert "." in heard


def test_a_server_that_falls_silent_is_left_after_the_time_out() -> None:
    with scripted(polite(MAIL="")) as port:
        began = time.monotonic()
        with pytest.raises(TemporaryError, match="sender"):
            plain_mailer(port, timeout="1s").send(an_email())
        assert time.monotonic() - began < 10


def test_a_server_that_only_ever_dawdles_is_left_after_three_time_outs() -> None:
    usual = polite()

    def answer(line: str) -> Answer:
        threading.Event().wait(0.9)  # each wait is within the time-out, their sum is not
        return usual(line)

    with scripted(answer) as port:
        began = time.monotonic()
        with pytest.raises(TemporaryError):
            plain_mailer(port, timeout="1s").send(an_email())
        assert time.monotonic() - began < 8


def test_a_port_where_nobody_listens_is_temporary() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TemporaryError, match=f"127.0.0.1:{port}"):
        plain_mailer(port).ready()


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("address", ["rené@contoso.example.com", "rita@contosó.example.com"])
def test_a_non_ascii_address_needs_a_server_that_takes_it(authority: trustme.CA, bundle: Path, address: str) -> None:
    with running(MailServer(authority, tls_of(authority), smtputf8=False)) as server:
        with pytest.raises(PermanentError, match="SMTPUTF8"):
            mailer_for(server, bundle).send(an_email(to=address))
        assert server.accepted == []


def test_a_non_ascii_address_is_written_to_where_the_server_can(server: MailServer, bundle: Path) -> None:
    mailer_for(server, bundle).send(an_email(to="rené@contoso.example.com"))
    assert server.envelopes[0].rcpt_tos == ["rené@contoso.example.com"]
    assert str(server.accepted[0]["To"]) == "rené@contoso.example.com"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "rita",
        "rita@",
        "@contoso.example.com",
        "rita@contoso.example.com, eve@example.com",
        "Rita <rita@contoso.example.com>",
        "rita@contoso.example.com>",
        '"rita"@contoso.example.com',
        "rita@@contoso.example.com",
        "eve@example.com@contoso.example.com",
        "rita @contoso.example.com",
        "rita@contoso..example.com",
        ".rita@contoso.example.com",
        "rita@-contoso.example.com",
        "rita@contoso.example.com\u2028eve@example.com",
        "rita@" + "a" * 250 + ".com",
    ],
)
def test_what_is_not_exactly_one_plain_address_is_refused(server: MailServer, bundle: Path, address: str) -> None:
    with pytest.raises(PermanentError, match="address"):
        mailer_for(server, bundle).send(an_email(to=address))
    assert server.connections == 0


# ---------------------------------------------------------------- settings


def problems_of(section: Mapping[str, object], *, production: bool = True) -> str:
    with pytest.raises(ConfigError) as refusal:
        validate(SmtpSettings, section, Place(Path(), production, {}), where="mail")
    return str(refusal.value)


MINIMUM = {"kind": "smtp", "host": "smtp.msp.example", "from": "IT Support <support@msp.example>"}


def test_the_shortest_section_means_starttls_on_the_submission_port() -> None:
    settings = validate(SmtpSettings, MINIMUM, Place(Path(), True, {}), where="mail")
    assert (settings.port, settings.uses_starttls, settings.tls) == (587, True, False)
    assert (settings.sender.name, settings.sender.address) == ("IT Support", "support@msp.example")


def test_tls_switches_starttls_off() -> None:
    settings = validate(SmtpSettings, {**MINIMUM, "port": 465, "tls": True}, Place(Path(), True, {}), where="mail")
    assert not settings.uses_starttls
    assert settings.encrypted


def test_an_unknown_key_is_named_with_its_place() -> None:
    assert "mail: startls: unknown key. Did you mean starttls?" in problems_of({**MINIMUM, "startls": True})


@pytest.mark.parametrize(
    "sender",
    ["nobody", "a@b.example, c@d.example", "A <a@b.example>\r\nBcc: e@example.com", "René <rené@b.example>", "<>", 7],
)
def test_a_sender_that_is_not_one_address_is_refused(sender: object) -> None:
    assert "mail: from:" in problems_of({**MINIMUM, "from": sender})


def test_a_password_never_crosses_the_network_in_the_clear() -> None:
    password = secrets.token_urlsafe(12)
    section = {**MINIMUM, "starttls": False, "username": "u", "password": Secret(password)}
    problem = problems_of(section, production=False)
    assert "unencrypted" in problem
    assert password not in problem


def test_in_production_links_never_cross_the_network_in_the_clear() -> None:
    assert "unencrypted" in problems_of({**MINIMUM, "starttls": False})
    validate(SmtpSettings, {**MINIMUM, "starttls": False, "host": "127.0.0.1"}, Place(Path(), True, {}), where="mail")


def test_a_password_written_into_the_file_is_refused_and_not_repeated() -> None:
    password = secrets.token_urlsafe(12)
    problem = problems_of({**MINIMUM, "username": "u", "password": password})
    assert "file" in problem
    assert password not in problem


def test_a_non_ascii_password_is_refused_before_it_can_reach_a_traceback() -> None:
    password = f"ü{secrets.token_urlsafe(12)}"
    problem = problems_of({**MINIMUM, "username": "u", "password": Secret(password)})
    assert "ASCII" in problem
    assert password not in problem


@pytest.mark.parametrize(
    "keys", [{"username": "u"}, {"password": Secret("x")}, {"tls": True, "starttls": True}, {"timeout": "0s"}]
)
def test_keys_that_do_not_fit_together_are_refused(keys: Mapping[str, object]) -> None:
    assert "mail" in problems_of({**MINIMUM, **keys})


def surroundings(folder: Path, **http: Any) -> Surroundings:
    return Surroundings(place=Place(folder, False, {}), http=HttpSection(**http), clock=lambda: NOW)


def test_it_is_built_from_its_section_with_the_ca_bundle_of_the_configuration(server: MailServer, bundle: Path) -> None:
    secret = bundle.parent / "password"
    secret.write_text(server.password, encoding="utf-8")
    section = {
        "kind": "smtp",
        "host": "127.0.0.1",
        "port": server.port,
        "from": "IT Support <support@msp.example.com>",
        "username": server.user,
        "password": {"file": secret.name},
    }
    mailer = SmtpMailer.from_config("mail", section, surroundings(bundle.parent, ca_bundle=bundle.name))
    mailer.send(an_email())
    assert len(server.accepted) == 1
    assert mailer.sender_domain == "msp.example.com"


def test_a_missing_ca_bundle_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CA bundle"):
        SmtpMailer.from_config("mail", {**MINIMUM, "ca_bundle": "missing.pem"}, surroundings(tmp_path))


def test_the_check_warns_of_an_unencrypted_way() -> None:
    section = {"host": "host.invalid", "port": 25, "starttls": False, "from": "a@b.example", "timeout": "1s"}
    mailer = SmtpMailer(validate(SmtpSettings, section, DEMO, where="mail"))
    levels = {finding.about: finding.level for finding in mailer.check()}
    assert levels == {"mail": Level.ERROR, "mail.starttls": Level.WARNING}
