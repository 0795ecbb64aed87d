"""Mail by Graph: the contract with real MSAL against the imitated Graph, the odd answers at the process's border.

Every request is held against Microsoft's published description, where that lies beside the project.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog

from connector.adapter import Surroundings
from connector.config import GraphSection, HttpSection, Place, TenantSection
from connector.core.ports import Email, Level, Mailer
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.graph.mailer import A_REFUSAL_COUNTS_FOR, GraphMailer
from connector.http import Http
from connector.mail.smtp import SmtpMailer
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import check_all, contracts_are_here, load_spec, specs_or_skip
from tests.contracts.mailer import REQUESTER, Delivered, MailerContract, PostOffice, an_email
from tests.graph.border import GRAPH, LOGIN, TENANT, Back, Border, refused
from tests.graph.ticking import Ticking

MAILBOX = "zoe@contoso.com"
SUPPORT = "Support@msp.example.com"
SEND = rf"^POST /users/{SUPPORT}/sendMail$"
ACCEPTED = Back(202)


@dataclass(frozen=True)
class Around(Surroundings):
    """`Surroundings` whose clients sleep in a test's own time."""

    time: Ticking = field(default_factory=Ticking)

    def http_for(self, *, system: str, scope: str, timeout: timedelta | None = None) -> Http:
        return Http(system=system, scope=scope, ca_bundle=self.http.ca_bundle, refuse_sandbox=False,
                    sleep=self.time.sleep)  # fmt: skip


# ---------------------------------------------------------------- the contract, against the imitated Graph


class SandboxPost:
    """A mailer in front of a running sandbox."""

    def __init__(self, world: World, addresses: Addresses, time: Ticking) -> None:
        self._addresses = addresses
        known = world.credentials
        self.own_app = {
            "client_id": known.graph_mfa_client_id,
            "client_secret": Secret(known.graph_mfa_client_secret),
        }
        self.surroundings = Around(
            place=Place(Path(), production=False, environ={}),
            http=HttpSection(ca_bundle=str(addresses.ca_bundle)),
            clock=time.clock,
            graph=GraphSection(client_id=known.graph_client_id, client_secret=Secret(known.graph_client_secret),
                               authority=addresses.authority, url=addresses.graph),
            tenants={"contoso": TenantSection(tenant_id=world.directory.tenants["contoso"].id)},
            time=time,
        )  # fmt: skip
        self.mailer: Mailer = self.connect()

    def connect(self, **section: object) -> GraphMailer:
        return GraphMailer.from_config("mail", {"kind": "graph", "mailbox": MAILBOX, **section}, self.surroundings)

    def control(self, method: str, path: str, **body: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self._addresses.control}/control/{path}", json=body or None, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def delivered(self) -> list[Delivered]:
        return [
            # Exchange makes the Message-ID; ours is in a header of its own.
            Delivered(mail["headers"]["x-connector-message-id"], *mail["recipients"], mail["subject"], mail["text"],
                      mail["html"])
            for mail in self.control("GET", "mails")
        ]  # fmt: skip

    def refuse(self, address: str) -> None:
        text = f"At least one recipient isn't valid., Recipient '{address}' isn't resolved."
        body = json.dumps({"error": {"code": "ErrorInvalidRecipients", "message": text}})
        self.fault("graph", "status", status=400, body=body)

    def make_busy(self, address: str) -> None:
        self.fault("graph", "status", status=429, headers={"Retry-After": "60"})

    def change_password(self) -> None:
        self.control("PATCH", "tenants/contoso", consented=False)
        self.fault("graph", "status", status=401)  # the token in the mailer's memory counts no longer

    def go_down(self) -> None:
        self.control("DELETE", "faults")
        for system in ("graph", "authority"):
            self.fault(system, "cut_before", times=1000)

    def fault(self, system: str, kind: str, **more: Any) -> None:
        match = "sendMail" if system == "graph" else ""
        self.control("POST", "faults", system=system, kind=kind, match=match, **more)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[World, Addresses, Ticking]]:
    time = Ticking()
    world = World(gentle=True, now=time.clock)
    with running(world) as addresses:
        yield world, addresses, time


@pytest.fixture
def post(servers: tuple[World, Addresses, Ticking]) -> Iterator[SandboxPost]:
    world, addresses, time = servers
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{addresses.control}/control/reset", timeout=10)
    post = SandboxPost(world, addresses, time)
    yield post
    if contracts_are_here():  # said, and refused under REQUIRE_ALL, by the test below
        exchanges = [one for one in post.control("GET", "exchanges") if one["system"] == "graph"]
        assert check_all({"graph": load_spec("graph")}, exchanges) == []


def test_the_description_to_check_against_is_there() -> None:
    assert "graph" in specs_or_skip()


class TestGraphMailer(MailerContract):
    carries_text = False  # a JSON message has one body
    healthy = (Level.OK, Level.WARNING)  # the sandbox's app may send as everybody

    @pytest.fixture
    def post(self, post: SandboxPost) -> PostOffice:
        return post


def test_a_mail_comes_from_the_mailbox_by_graph(post: SandboxPost) -> None:
    post.mailer.send(an_email())
    [mail] = post.control("GET", "mails")
    assert (mail["via"], mail["sender"], mail["recipients"]) == ("graph", MAILBOX, [REQUESTER])


def test_an_unclear_answer_is_not_repeated_although_the_mail_went_out(post: SandboxPost) -> None:
    post.mailer.ready()
    post.fault("graph", "cut_after")
    with pytest.raises(TemporaryError):
        post.mailer.send(an_email())
    assert len(post.delivered()) == 1


def test_an_app_of_its_own_sends_once_it_is_let_and_not_before(post: SandboxPost) -> None:
    mailer = post.connect(**post.own_app)
    with pytest.raises(AuthenticationError, match="RBAC for Applications"):
        mailer.send(an_email())
    assert post.delivered() == []
    post.control("PATCH", "tenants/contoso", app="mfa", grant=["Mail.Send"])
    mailer = post.connect(**post.own_app)
    mailer.send(an_email())
    assert len(post.delivered()) == 1


def test_a_mailbox_that_is_not_there_is_told_by_the_check_and_when_sending(post: SandboxPost) -> None:
    mailer = post.connect(mailbox="nobody@contoso.com")
    [error] = mailer.check()
    assert error.level is Level.ERROR
    assert "mail.mailbox" in error.text
    assert not error.temporary
    with pytest.raises(AuthenticationError, match=r"nobody@contoso\.com") as failure:
        mailer.send(an_email())
    assert failure.value.scope == "mail"


# ---------------------------------------------------------------- the border


def around(border: Border, *, tenants: Mapping[str, TenantSection] | None = None) -> Around:
    return Around(
        place=Place(Path(), production=True, environ={"OWN": secrets.token_urlsafe(16)}),
        http=HttpSection(),
        clock=border.time.clock,
        graph=GraphSection(client_id="app", client_secret=border.secret, authority=LOGIN, url=GRAPH),
        tenants={"contoso": TenantSection(tenant_id=TENANT)} if tenants is None else tenants,
        time=border.time,
    )


def mailer_at(border: Border, **section: object) -> GraphMailer:
    return GraphMailer.from_config("mail", {"kind": "graph", "mailbox": SUPPORT, **section}, around(border))


def findings(mailer: Mailer) -> list[tuple[Level, str]]:
    return [(finding.level, finding.about) for finding in mailer.check()]


# ---------------------------------------------------------------- what the request looks like


def test_a_mail_is_never_kept_in_the_mailbox_and_has_one_recipient(border: Border) -> None:
    border.on(SEND, ACCEPTED)
    email = an_email()
    mailer_at(border).send(email)
    [call] = border.asked("sendMail")
    assert call.outer == f"/v1.0/users/{SUPPORT}/sendMail"
    assert call.body["SaveToSentItems"] is False
    message = call.body["Message"]
    assert message["toRecipients"] == [{"emailAddress": {"address": email.to}}]
    assert message["body"] == {"contentType": "html", "content": email.html}
    assert not {"ccRecipients", "bccRecipients", "from", "replyTo"} & set(message)


def test_our_headers_are_such_as_graph_takes(border: Border) -> None:
    border.on(SEND, ACCEPTED)
    email = an_email()
    mailer_at(border).send(email)
    headers = border.asked("sendMail")[0].body["Message"]["internetMessageHeaders"]
    assert {one["name"]: one["value"] for one in headers} == {
        "x-connector-message-id": email.message_id,
        "x-auto-response-suppress": "All",
    }
    assert len(headers) <= 5


def test_sender_name_and_reply_address_are_passed_on(border: Border) -> None:
    border.on(SEND, ACCEPTED)
    mailer_at(border, from_name="Müller, IT", reply_to="desk@msp.example.com").send(an_email())
    message = border.asked("sendMail")[0].body["Message"]
    assert message["from"] == {"emailAddress": {"address": SUPPORT, "name": "Müller, IT"}}
    assert message["replyTo"] == [{"emailAddress": {"address": "desk@msp.example.com"}}]


def test_a_mailbox_with_signs_of_an_address_line_stays_one_step_of_the_path(border: Border) -> None:
    border.on(r"sendMail$", ACCEPTED)
    mailer_at(border, mailbox="a/b?c#d'e@msp.example.com").send(an_email())
    [call] = border.asked("sendMail")
    assert call.outer == "/v1.0/users/a%2Fb%3Fc%23d%27e@msp.example.com/sendMail"


def test_the_sender_is_known_in_the_form_in_which_addresses_are_compared(border: Border) -> None:
    mailer = mailer_at(border)
    assert mailer.own_addresses == {"support@msp.example.com"}
    assert mailer.sender_domain == "msp.example.com"
    section = {"host": "127.0.0.1", "from": "IT <Support@MSP.example.com>"}
    assert SmtpMailer.from_config("mail", section, around(border)).own_addresses == {"support@msp.example.com"}


def test_it_is_found_by_its_kind() -> None:
    [found] = entry_points(group="connector.mail", name="graph")
    assert found.load() is GraphMailer


# ---------------------------------------------------------------- refusals

NO_SUCH = "The requested user is invalid."
REFUSALS: list[tuple[Back, type[ConnectorError], str]] = [
    (refused(400, "ErrorInvalidRecipients", "At least one recipient isn't valid."), PermanentError, "recipient"),
    (refused(400, "RequestBodyRead"), PermanentError, "RequestBodyRead"),
    (refused(413, "ErrorMessageSizeExceeded"), PermanentError, "413"),
    (refused(401, "InvalidAuthenticationToken"), AuthenticationError, "401"),
    (refused(403, "ErrorAccessDenied", "Access is denied."), AuthenticationError, "RBAC for Applications"),
    (refused(403, "ErrorAccessDenied", "Access is denied."), AuthenticationError, r"Mail\.Send"),
    (refused(403, "erroraccessdenied"), AuthenticationError, "erroraccessdenied"),
    (refused(403, "Authorization_RequestDenied"), AuthenticationError, r"Mail\.Send"),
    (refused(400, "ErrorSendAsDenied"), AuthenticationError, "ErrorSendAsDenied"),
    (refused(400, "ErrorQuotaExceeded"), AuthenticationError, "full"),
    (refused(404, "ErrorInvalidUser", NO_SUCH), AuthenticationError, r"mail\.mailbox"),
    (refused(404, "MailboxNotEnabledForRESTAPI"), AuthenticationError, r"mail\.mailbox"),
    (refused(400, "MailboxNotEnabledForRESTAPI"), AuthenticationError, r"mail\.mailbox"),
    (Back(404, text="<html>"), AuthenticationError, r"mail\.tenant_id"),
    (refused(400, "ErrorExceededMessageLimit"), TemporaryError, "at the moment"),
    (Back(403, text="no JSON"), AuthenticationError, "403"),
]


@pytest.mark.parametrize(("answer", "kind", "words"), REFUSALS)
def test_a_refusal_means(border: Border, answer: Back, kind: type[ConnectorError], words: str) -> None:
    border.on(SEND, answer)
    with pytest.raises(kind, match=words) as failure:
        mailer_at(border).send(an_email())
    if isinstance(failure.value, AuthenticationError):
        assert failure.value.scope == "mail"


@pytest.mark.parametrize("word", ["MailboxNotEnabledForRESTAPI", "ErrorAccessDenied", "ErrorServerBusy"])
def test_an_address_cannot_choose_what_its_refusal_is_taken_for(border: Border, word: str) -> None:
    border.on(SEND, refused(400, "ErrorInvalidRecipients", f"Recipient '{word}@example.com' isn't resolved."), ACCEPTED)
    mailer = mailer_at(border)
    with pytest.raises(PermanentError):
        mailer.send(an_email(to=f"{word}@example.com"))
    mailer.ready()
    mailer.send(an_email())


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttle_is_passed_on_with_its_wait_and_not_tried_again_here(border: Border, status: int) -> None:
    border.on(SEND, refused(status, "ApplicationThrottled", **{"Retry-After": "90"}))
    with pytest.raises(TemporaryError) as failure:
        mailer_at(border).send(an_email())
    assert failure.value.retry_after == timedelta(seconds=90)
    assert len(border.asked("sendMail")) == 1


def test_a_throttle_that_names_a_short_wait_was_not_done_and_is_tried_again(border: Border) -> None:
    border.on(SEND, refused(429, "ApplicationThrottled", **{"Retry-After": "3"}), ACCEPTED)
    mailer_at(border).send(an_email())
    assert len(border.asked("sendMail")) == 2
    assert border.time.slept == [3]


@pytest.mark.parametrize(
    "unclear",
    [Back(500), Back(503), Back(504), requests.exceptions.ReadTimeout(), requests.exceptions.ConnectionError()],
    ids=["500", "503", "504", "silence", "cut"],
)
def test_after_an_unclear_answer_the_mail_is_not_sent_again(border: Border, unclear: Back | Exception) -> None:
    border.on(SEND, unclear, ACCEPTED)
    with pytest.raises(TemporaryError):
        mailer_at(border).send(an_email())
    assert len(border.asked("sendMail")) == 1
    assert border.time.slept == []


def test_accepted_with_a_wait_is_accepted(border: Border) -> None:
    border.on(SEND, Back(202, headers={"Retry-After": "5"}))
    mailer_at(border).send(an_email())
    assert len(border.asked("sendMail")) == 1


def test_a_refused_token_is_renewed_once(border: Border) -> None:
    border.on(SEND, refused(401, "InvalidAuthenticationToken"), ACCEPTED)
    mailer_at(border).send(an_email())
    assert len(border.tokens) == 2


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "address",
    ["", "rita", "rita@", "@example.com", "a@b@example.com", "a@example.com, b@example.com", "a@b.example;c@b.example",
     "Rita <a@example.com>", "a b@example.com", "a\u2028@example.com", f"{'a' * 250}@example.com"],
)  # fmt: skip
def test_what_could_be_read_as_several_recipients_is_refused_before_graph_sees_it(border: Border, address: str) -> None:
    border.on(SEND, ACCEPTED)
    with pytest.raises(PermanentError):
        mailer_at(border).send(an_email(to=address))
    assert border.calls == []


# ---------------------------------------------------------------- ready


@pytest.mark.parametrize("roles", [("Mail.Send",), (), ("User.Read.All",), None])
def test_ready_signs_in_and_asks_graph_nothing_whatever_the_token_says(border: Border, roles: tuple[str, ...]) -> None:
    border.roles = roles
    mailer = mailer_at(border)
    mailer.ready()
    mailer.ready()
    assert border.calls == []
    assert len(border.tokens) == 1


def test_after_a_refusal_it_is_not_ready_so_that_no_password_is_set(border: Border) -> None:
    border.on(SEND, refused(403, "ErrorAccessDenied"))
    mailer = mailer_at(border)
    mailer.ready()
    with pytest.raises(AuthenticationError):
        mailer.send(an_email())
    with pytest.raises(AuthenticationError, match="RBAC for Applications") as failure:
        mailer.ready()
    assert failure.value.scope == "mail"


def test_a_refusal_is_forgotten_after_a_while_or_with_the_next_mail(border: Border) -> None:
    border.on(SEND, refused(404, "ErrorInvalidUser"), refused(404, "ErrorInvalidUser"), ACCEPTED)
    mailer = mailer_at(border)
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            mailer.send(an_email())
    border.time.sleep(A_REFUSAL_COUNTS_FOR.total_seconds() - 1)
    with pytest.raises(AuthenticationError):
        mailer.ready()
    border.time.sleep(1)
    mailer.ready()

    border.on(SEND, refused(403, "ErrorAccessDenied"), refused(403, "ErrorAccessDenied"), ACCEPTED)
    with pytest.raises(AuthenticationError):
        mailer.send(an_email())
    mailer.send(an_email())
    mailer.ready()


def test_one_bad_recipient_does_not_make_it_unready(border: Border) -> None:
    border.on(SEND, refused(400, "ErrorInvalidRecipients"))
    mailer = mailer_at(border)
    with pytest.raises(PermanentError):
        mailer.send(an_email())
    mailer.ready()


# ---------------------------------------------------------------- connector check

NO_RECIPIENTS = refused(400, "ErrorInvalidRecipients", "A message can't be sent because it contains no recipients.")


def test_the_check_asks_with_a_mail_that_cannot_be_sent(border: Border) -> None:
    border.roles = ()
    border.on(SEND, NO_RECIPIENTS)
    assert findings(mailer_at(border)) == [(Level.OK, "mail")]
    [call] = border.asked("sendMail")
    assert call.body == {"Message": {"toRecipients": []}, "SaveToSentItems": False}


def test_the_check_warns_of_an_app_that_may_send_as_everybody(border: Border) -> None:
    border.roles = ("Mail.Send",)
    border.on(SEND, NO_RECIPIENTS)
    ok, warning = mailer_at(border).check()
    assert (ok.level, warning.level) == (Level.OK, Level.WARNING)
    assert "everybody" in warning.text
    assert "RBAC for Applications" in warning.todo


def test_the_check_says_when_it_cannot_see_the_permissions(border: Border) -> None:
    border.roles = None
    border.on(SEND, NO_RECIPIENTS)
    assert findings(mailer_at(border)) == [(Level.OK, "mail"), (Level.WARNING, "mail")]


def test_the_check_names_what_an_app_for_mails_does_not_need(border: Border) -> None:
    border.roles = ("Mail.ReadWrite", "User.Read.All")
    border.on(SEND, NO_RECIPIENTS)
    _, excess = mailer_at(border, client_id="own", client_secret={"env": "OWN"}).check()
    assert (excess.level, excess.about) == (Level.WARNING, "mail.client_id")
    assert "Mail.ReadWrite, User.Read.All" in excess.text
    assert findings(mailer_at(border)) == [(Level.OK, "mail")], "the app of graph needs its other permissions"


@pytest.mark.parametrize("answer", [refused(403, "ErrorAccessDenied"), refused(404, "ErrorInvalidUser")])
def test_the_check_finds_a_mailbox_that_is_not_ours(border: Border, answer: Back) -> None:
    border.on(SEND, answer)
    mailer = mailer_at(border)
    [error] = mailer.check()
    assert error.level is Level.ERROR
    assert error.todo
    with pytest.raises(AuthenticationError):
        mailer.ready()


def test_the_check_tells_trouble_that_mends_itself_from_the_rest(border: Border) -> None:
    border.on(SEND, Back(500))
    assert [finding.temporary for finding in mailer_at(border).check()] == [True]
    border.token_answers = [Back(401, {"error": "invalid_client", "error_codes": [7000215]})]
    [error] = mailer_at(border).check()
    assert not error.temporary
    assert "graph.client_secret" in error.text


def test_a_refused_sign_in_names_the_places_of_this_section(border: Border) -> None:
    for code, place in ((90002, r"mail\.tenant_id"), (7000215, r"mail\.client_secret"), (700016, r"mail\.client_id")):
        border.token_answers = [Back(400, {"error": "invalid_request", "error_codes": [code]})]
        with pytest.raises(AuthenticationError, match=place) as failure:
            mailer_at(border, client_id="own", client_secret={"env": "OWN"}).ready()
        assert failure.value.scope == "mail"


@pytest.mark.parametrize(("days", "level"), [(10, Level.WARNING), (-3, Level.ERROR)])
def test_the_check_tells_when_the_credential_of_its_own_app_ends(border: Border, days: int, level: Level) -> None:
    border.roles = ()
    border.on(SEND, NO_RECIPIENTS)
    ends = (datetime.now(UTC) + timedelta(days=days + 1)).date().isoformat()
    mailer = mailer_at(border, client_id="own", client_secret={"env": "OWN"}, client_secret_expires=ends)
    assert findings(mailer) == [(level, "mail.client_secret"), (Level.OK, "mail")]


# ---------------------------------------------------------------- nothing leaks


@pytest.mark.parametrize("answer", [REFUSALS[0][0], REFUSALS[4][0], REFUSALS[10][0], Back(500), ACCEPTED])
def test_neither_log_nor_error_holds_what_the_mail_says(
    border: Border, answer: Back, caplog: pytest.LogCaptureFixture
) -> None:
    border.on(SEND, answer)
    mailer = mailer_at(border)
    email = an_email()
    shown = ""
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        try:
            mailer.send(email)
        except ConnectorError as failure:
            shown = f"{failure!r} {failure} {failure.__cause__!r} {failure.__context__!r}"
    logged = f"{logs} {caplog.text}"
    for secret in ("links.example.com", email.subject, email.html, border.secret.reveal(), *border.tokens):
        assert secret not in shown
        assert secret not in logged
    assert email.to not in logged
    assert email.message_id not in logged


def test_the_representation_of_its_settings_shows_no_secret(border: Border) -> None:
    surroundings = around(border)
    mailer = GraphMailer.from_config(
        "mail", {"kind": "graph", "mailbox": SUPPORT, "client_id": "own", "client_secret": {"env": "OWN"}}, surroundings
    )
    assert surroundings.place.environ["OWN"] not in repr(vars(mailer))


# ---------------------------------------------------------------- the section


def problems_of(build: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as failure:
        build()
    return "\n".join(failure.value.problems)


def test_the_tenant_may_be_left_out_where_there_is_one(border: Border) -> None:
    border.on(SEND, ACCEPTED)
    mailer_at(border).send(an_email())
    assert any(TENANT in str(call.request.url) for call in border.mock.calls)


def test_with_several_tenants_the_section_has_to_say_which(border: Border) -> None:
    other = TENANT.replace("1", "3")
    surroundings = around(
        border, tenants={name: TenantSection(tenant_id=id_) for name, id_ in (("contoso", TENANT), ("fabrikam", other))}
    )
    section = {"kind": "graph", "mailbox": SUPPORT}
    said = problems_of(lambda: GraphMailer.from_config("mail", section, surroundings))
    assert "mail.tenant_id" in said
    assert "contoso, fabrikam" in said
    border.on(SEND, ACCEPTED)
    GraphMailer.from_config("mail", {**section, "tenant_id": other}, surroundings).send(an_email())
    asked = [str(call.request.url) for call in border.mock.calls]
    assert any(other in url for url in asked)
    assert not any(TENANT in url for url in asked)


def test_an_own_app_takes_nothing_but_the_cloud_from_graph(border: Border) -> None:
    said = problems_of(lambda: mailer_at(border, client_id="own"))
    assert "give exactly one of client_secret" in said
    said = problems_of(lambda: mailer_at(border, client_secret={"env": "OWN"}))
    assert "mail: client_id: missing" in said


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"mailbox": "support"}, "mailbox: write one plain address"),
        ({"mailbox": "Support <support@msp.example.com>"}, "mailbox: write one plain address"),
        ({"mailbox": "a@example.com,b@example.com"}, "mailbox: write one plain address"),
        ({"mailbox": "süpport@msp.example.com"}, "mailbox: write one plain address"),
        ({"from_name": "IT\r\nBcc: eve@example.com"}, "from_name: a line break"),
        ({"reply_to": "nobody"}, "reply_to: write one plain address"),
        ({"mailbx": "support@msp.example.com"}, "mailbx: unknown key. Did you mean mailbox?"),
        ({"host": "smtp.example.com"}, "host: unknown key"),
        ({"authority": "https://login.example.net"}, "authority: unknown key"),
    ],
)
def test_a_wrong_section_is_told_with_its_place(border: Border, keys: dict[str, object], words: str) -> None:
    assert words in problems_of(lambda: mailer_at(border, **keys))


def test_every_problem_is_told_at_once(border: Border) -> None:
    surroundings = replace(around(border), tenants={})
    section = {"kind": "graph", "mailbox": "support", "from": "x"}
    said = problems_of(lambda: GraphMailer.from_config("mail", section, surroundings))
    assert "mailbox: write" in said
    assert "from: unknown key" in said
    assert "mail.tenant_id: missing" in said


def test_a_mail_whose_id_is_no_message_id_is_refused(border: Border) -> None:
    border.on(SEND, ACCEPTED)
    email = an_email()
    with pytest.raises(PermanentError):
        mailer_at(border).send(Email("no id", email.to, email.subject, email.text, email.html))
    assert border.calls == []


def test_the_end_of_an_own_credential_is_known_to_the_daily_warning(border: Border) -> None:
    assert mailer_at(border, tenant_id=TENANT).credentials() == ()
    own = {"client_id": "mail-app", "client_secret": {"env": "OWN"}, "client_secret_expires": "2026-12-01"}
    [line] = mailer_at(border, tenant_id=TENANT, **own).credentials()
    assert line.place.startswith("mail")
    assert line.days_left is not None
