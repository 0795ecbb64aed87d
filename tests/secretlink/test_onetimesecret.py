"""OneTimeSecret behind the port of link services: both versions of the imitation keep every promise but the views."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta

import pytest

from connector.core.ports import Level, LinkEventKind, Watched
from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError
from connector.http import Http
from connector.secretlink.onetimesecret.adapter import OneTimeSecret
from connector.secretlink.onetimesecret.api import SecretApi
from tests.contracts.links import (
    LIFETIME,
    SECOND,
    LinkPost,
    LinkServiceContract,
    a_password,
    a_wish,
    all_events,
    kinds_of,
    token_of,
)
from tests.secretlink.other_services import MORNING, OtherPost, Sandbox


def adapter_for(desk: Sandbox, *, token: Secret | None = None, ahead: timedelta = timedelta(0)) -> OneTimeSecret:
    """A new process' adapter: it remembers nothing. Its clock is so much ahead of the service's."""
    known, url = desk.world.credentials, desk.addresses.onetimesecret
    return OneTimeSecret(
        api=SecretApi(
            http=Http(system="OneTimeSecret", scope="links", refuse_sandbox=False, sleep=lambda _: None),
            url=url,
            username=known.onetimesecret_username,
            token=token or Secret(known.onetimesecret_token),
        ),
        url=url,
        clock=lambda: desk.clock() + ahead,
    )


@pytest.fixture(params=["v2", "v2 in strings", "v1"])
def version(request: pytest.FixtureRequest, desk: Sandbox) -> str:
    desk.world.secrets.version = int(request.param[1])
    desk.world.secrets.text_numbers = "strings" in request.param
    return str(request.param)


@pytest.fixture
def post(desk: Sandbox, version: str) -> OtherPost:
    return OtherPost(desk, adapter_for(desk), "onetimesecret")


class TestOneTimeSecret(LinkServiceContract):
    @pytest.fixture
    def post(self, desk: Sandbox, version: str) -> LinkPost:
        return OtherPost(desk, adapter_for(desk), "onetimesecret")


def watched(*links: object) -> list[Watched]:
    return [Watched(link.id, link.handle, link.expires_at, link.views) for link in links]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what is made


def test_a_secret_has_the_lifetime_that_was_wished_and_no_passphrase(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    (secret,) = post.sandbox.world.secrets.receipts.values()
    assert (secret.ttl, secret.passphrase, secret.owned) == (3600, None, True)
    assert link.url.reveal() == f"{post.sandbox.addresses.onetimesecret}/secret/{secret.secret_identifier}"


def test_what_is_remembered_leads_to_neither_the_secret_nor_its_receipt(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    (secret,) = post.sandbox.world.secrets.receipts.values()
    assert len(link.handle) == 32
    for text in (secret.identifier, secret.secret_identifier):
        assert link.handle not in text
        assert text[:8] not in link.handle
    page = post.person.http.get(f"{post.sandbox.addresses.onetimesecret}/secret/{link.handle}", timeout=10)
    assert page.status_code == 404


@pytest.mark.parametrize(("shortest", "longest"), [(60, 1800), (7200, 9000)])
def test_a_lifetime_that_was_clamped_is_burned_and_refused(post: OtherPost, shortest: int, longest: int) -> None:
    post.sandbox.world.secrets.shortest_ttl = shortest
    post.sandbox.world.secrets.longest_ttl = longest
    password = a_password()
    with pytest.raises(PermanentError, match=r"links\.lifetime") as refusal:
        post.links.create(a_wish(views=1), password)
    (secret,) = post.sandbox.world.secrets.receipts.values()
    assert secret.state == "burned"
    assert password.reveal() not in str(refusal.value)


def test_less_than_a_minute_is_refused_before_anything_is_made(post: OtherPost) -> None:
    with pytest.raises(PermanentError):
        post.links.create(a_wish(views=1, lifetime=timedelta(seconds=59)), a_password())
    assert post.sandbox.world.secrets.receipts == {}


def test_a_secret_that_does_not_say_how_long_it_lives_is_burned(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    made = desk.world.secrets.conceal("x", 3600, passphrase=None, owned=True)
    record = {"receipt": {"identifier": made.identifier}, "secret": {"identifier": made.secret_identifier}}
    post.fault("status", match="conceal", times=1, status=200, body=json.dumps({"record": record}))
    with pytest.raises(PermanentError):
        post.links.create(a_wish(views=1), a_password())
    assert made.state == "burned"


@pytest.mark.parametrize("body", ["[]", "{}", '{"record": {"receipt": {"identifier": "../../x"}}}', '{"record": 7}'])
def test_an_answer_in_another_shape_is_not_believed_and_not_shown(desk: Sandbox, body: str) -> None:
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    password = a_password()
    post.fault("status", match="conceal", times=1, status=200, body=body)
    with pytest.raises(TemporaryError) as failure:
        post.links.create(a_wish(views=1), password)
    assert password.reveal() not in f"{failure.value!r} {failure.value.__context__!r}"


@pytest.mark.parametrize("kind", ["cut_after", "status_after"])
def test_a_create_is_not_sent_twice(post: OtherPost, kind: str) -> None:
    post.fault(kind, match="conceal|share", times=1, status=503, headers={"Retry-After": "0"})
    with pytest.raises(TemporaryError):
        post.links.create(a_wish(views=1), a_password())
    assert len(post.sandbox.world.secrets.receipts) == 1


def test_wrong_credentials_make_no_secret_not_even_an_anonymous_one(post: OtherPost) -> None:
    token = Secret(secrets.token_urlsafe())
    stranger = adapter_for(post.sandbox, token=token)
    with pytest.raises(AuthenticationError) as refusal:
        stranger.create(a_wish(views=1), a_password())
    assert token.reveal() not in str(refusal.value)
    assert post.sandbox.world.secrets.receipts == {}
    (finding,) = stranger.check()
    assert (finding.level, finding.about) == (Level.ERROR, "links.token")


def test_the_account_is_proved_before_the_first_secret_even_where_a_stranger_may_conceal(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    post.fault("status", match="recent", status=401)
    with pytest.raises(AuthenticationError):
        post.links.create(a_wish(views=1), a_password())
    assert desk.world.secrets.receipts == {}


# ---------------------------------------------------------------- a gateway, or another version, in its place


def test_an_upgrade_that_takes_the_old_calls_away_is_found_out_by_the_first_that_fails(desk: Sandbox) -> None:
    desk.world.secrets.version = 1
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    link = post.links.create(a_wish(views=1), a_password())
    post.open(link.url)
    desk.world.secrets.version = 2
    post.fault("status", match="/api/v1/", status=404)
    with pytest.raises(TemporaryError):
        post.links.news("")
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.REVEALED]


def test_a_gateway_that_says_404_to_everything_is_a_service_that_is_away(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.fault("status", status=404)
    for adapter in (post.adapter, adapter_for(post.sandbox)):
        for call in (
            lambda: adapter.create(a_wish(views=1), a_password()),  # noqa: B023 - called before the next turn
            lambda: adapter.revoke(link.id, handle=link.handle),  # noqa: B023
            lambda: adapter.news("", watched(link)),  # noqa: B023
        ):
            with pytest.raises(TemporaryError, match=r"links\.url"):
                call()
    post.repair()
    assert post.open(link.url) is not None, "nothing was burned, and nobody was told so"


def test_a_404_about_one_secret_is_not_believed_while_the_list_shows_it_alive(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    (secret,) = post.sandbox.world.secrets.receipts.values()
    post.fault("status", match=secret.identifier, status=404)
    for adapter in (post.adapter, adapter_for(post.sandbox)):
        with pytest.raises(TemporaryError) as failure:
            adapter.revoke(link.id, handle=link.handle)
        assert secret.identifier not in str(failure.value)
        with pytest.raises(TemporaryError):
            adapter.news("", watched(link))
    post.repair()
    post.links.revoke(link.id, handle=link.handle)
    assert post.open(link.url) is None


def test_a_secret_that_neither_path_nor_list_knows_is_gone(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.sandbox.world.secrets.receipts.clear()
    post.links.revoke(link.id, handle=link.handle)
    assert post.links.news("").events == ()


# ---------------------------------------------------------------- what is told


def test_a_reveal_is_told_with_its_time_and_nothing_else(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.sandbox.clock.moment += timedelta(minutes=7)
    post.open(link.url)
    post.sandbox.clock.moment += timedelta(minutes=7)
    (shown,) = all_events(post.links)
    assert (shown.kind, shown.at, shown.view, shown.views_left) == (
        LinkEventKind.REVEALED, MORNING + timedelta(minutes=7), 1, 0,
    )  # fmt: skip
    assert (shown.ip, shown.place, shown.agent) == ("", "", "")


def test_a_new_process_finds_its_links_by_what_the_cases_remember(post: OtherPost) -> None:
    opened, burned, silent = (post.links.create(a_wish(views=1), a_password()) for _ in range(3))
    post.open(opened.url)
    for _ in range(2):
        assert adapter_for(post.sandbox).revoke(burned.id, handle=burned.handle) is True
    assert post.open(burned.url) is None
    post.sandbox.clock.moment += LIFETIME + timedelta(minutes=20)
    events = adapter_for(post.sandbox).news("", watched(opened, burned, silent)).events
    assert kinds_of(events, opened.id) == [LinkEventKind.REVEALED]
    assert kinds_of(events, burned.id) == [LinkEventKind.REVOKED]
    assert kinds_of(events, silent.id) == [LinkEventKind.EXPIRED]
    assert adapter_for(post.sandbox).news("", watched(opened, burned, silent)).events == events


def test_a_receipt_that_is_gone_says_nothing(post: OtherPost) -> None:
    """Twice the lifetime later nobody knows any more whether the secret was seen."""
    link = post.links.create(a_wish(views=1), a_password())
    post.open(link.url)
    post.sandbox.clock.moment += 2 * LIFETIME + SECOND
    assert post.links.news("").events == ()
    assert adapter_for(post.sandbox).news("", watched(link)).events == ()


def test_a_receipt_that_is_gone_is_asked_for_now_and_then(post: OtherPost) -> None:
    post.links.create(a_wish(views=1), a_password())
    post.sandbox.world.secrets.receipts.clear()
    post.sandbox.world.record.clear()
    for _ in range(4 * 60):
        assert post.links.news("").events == ()
        post.sandbox.clock.moment += timedelta(seconds=15)
    assert len(post.sandbox.world.record.exchanges) <= 2 * 12


def test_no_poll_says_that_a_history_broke_off_for_there_is_none(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.fault("status", match="recent", status=400)
    with pytest.raises(TemporaryError):
        adapter_for(post.sandbox).news("", watched(link))


def test_a_handle_of_nobodys_revokes_nothing(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    stranger = adapter_for(post.sandbox)
    assert stranger.revoke(link.id, handle=secrets.token_hex(16)) is False
    assert stranger.revoke(link.id) is False
    assert post.open(link.url) is not None


def test_a_secret_that_outlives_its_time_is_burned(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    (secret,) = post.sandbox.world.secrets.receipts.values()
    secret.ttl = 7200  # a service whose clock goes wrong
    post.sandbox.clock.moment += LIFETIME + timedelta(seconds=5)
    assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.EXPIRED]
    assert secret.state == "burned"


@pytest.mark.parametrize("behind", [SECOND, timedelta(minutes=3)])
def test_a_service_whose_clock_is_behind_ours_makes_no_revocation_of_an_end(
    desk: Sandbox, version: str, behind: timedelta
) -> None:
    adapter = adapter_for(desk, ahead=behind)
    link = adapter.create(a_wish(views=1), a_password())
    (secret,) = desk.world.secrets.receipts.values()
    secret.ttl += 60  # made a minute late
    desk.clock.moment += LIFETIME + timedelta(seconds=3)
    assert kinds_of(adapter.news("", watched(link)).events, link.id) == [LinkEventKind.EXPIRED]
    assert secret.state == "burned"


def test_a_time_that_cannot_be_is_none_and_the_reveal_is_told_all_the_same(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    link = post.links.create(a_wish(views=1), a_password())
    record = {"identifier": "x", "state": "revealed", "revealed": 9.5e9, "updated": "1e10"}
    post.fault("status", match="^GET /api/v2/receipt/", status=200, body=json.dumps({"record": record}))
    (shown,) = post.links.news("").events
    assert (shown.link_id, shown.kind, shown.at) == (link.id, LinkEventKind.REVEALED, MORNING)


def test_a_clock_that_was_set_back_holds_up_no_search(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.open(link.url)
    receipts, clock = post.sandbox.world.secrets.receipts, post.sandbox.clock
    hidden = dict(receipts)
    receipts.clear()
    back = adapter_for(post.sandbox)
    clock.moment += LIFETIME / 2
    assert (back.news("", watched(link)).events, post.links.news("").events) == ((), ())
    clock.moment -= LIFETIME / 2
    receipts.update(hidden)
    for adapter in (back, post.links):
        assert kinds_of(adapter.news("", watched(link)).events, link.id) == [LinkEventKind.REVEALED]


@pytest.mark.parametrize("state", ["orphaned", "something new"])
def test_a_state_that_is_not_known_says_nothing(desk: Sandbox, state: str) -> None:
    post = OtherPost(desk, adapter_for(desk), "onetimesecret")
    post.links.create(a_wish(views=1), a_password())
    (secret,) = desk.world.secrets.receipts.values()
    secret.state = state
    post.sandbox.clock.moment += LIFETIME + SECOND
    assert post.links.news("").events == ()


def test_one_receipt_that_cannot_be_read_does_not_keep_back_the_others(post: OtherPost) -> None:
    broken, fine = (post.links.create(a_wish(views=1), a_password()) for _ in range(2))
    receipt = next(iter(post.sandbox.world.secrets.receipts))
    for link in (broken, fine):
        post.open(link.url)
    post.fault("status", match=receipt, status=500)
    assert kinds_of(post.links.news("").events, fine.id) == [LinkEventKind.REVEALED]
    post.repair()
    assert kinds_of(all_events(post.links), broken.id) == [LinkEventKind.REVEALED]


def test_many_links_cost_one_call_and_none_is_taken_for_ended_by_a_list(post: OtherPost) -> None:
    links = [post.links.create(a_wish(views=1), a_password()) for _ in range(6)]
    post.open(links[0].url)
    post.links.revoke(links[1].id, handle=links[1].handle)
    post.sandbox.world.record.clear()
    events = post.links.news("").events
    calls = [call for call in post.sandbox.world.record.exchanges if call.system == "onetimesecret"]
    assert [call.path.rpartition("/")[2] for call in calls] == ["recent"]
    assert kinds_of(events, links[0].id) == [LinkEventKind.REVEALED]
    assert kinds_of(events, links[1].id) == [LinkEventKind.REVOKED]
    assert len(events) == 2
    post.sandbox.clock.moment += LIFETIME + SECOND
    for link in links[2:]:
        assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.EXPIRED]


def test_no_failure_shows_an_address_or_a_receipt(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    (secret,) = post.sandbox.world.secrets.receipts.values()
    for trouble in ({"kind": "cut_before"}, {"kind": "status", "status": 500}, {"kind": "not_json"}):
        post.fault(**trouble, match=secret.identifier)  # type: ignore[arg-type]
        with pytest.raises(TemporaryError) as failure:
            adapter_for(post.sandbox).news("", watched(link))
        for text in (secret.identifier, token_of(link.url)):
            assert text not in f"{failure.value!r} {failure.value}"
        post.repair()


def test_the_check_names_the_version_and_warns_of_what_it_lacks(post: OtherPost, version: str) -> None:
    first, *more = post.links.check()
    assert first.level is Level.OK
    assert f"API {version[:2]}" in first.text
    assert {finding.level for finding in more} == {Level.WARNING}
    assert any("this was not me" in finding.text for finding in more)
