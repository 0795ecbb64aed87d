"""Password Pusher behind the port of link services: three editions of the imitation keep every promise."""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta

import pytest

from connector.core.ports import Level, LinkEventKind, Watched
from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError
from connector.http import Http
from connector.secretlink.passwordpusher.adapter import PasswordPusher
from connector.secretlink.passwordpusher.api import PushApi
from connector.secretlink.passwordpusher.memory import LOOK_AGAIN_AFTER, MOST_READ_AGAIN, READ_AGAIN_EVERY
from connector.secretlink.passwordpusher.pushes import Order
from connector.secretlink.place import Places
from sandbox.passwordpusher_pushes import Visitor
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
from tests.secretlink.other_services import BRITISH, EDGE, MORNING, OtherPost, Sandbox

STAFF = Visitor("192.0.2.9", EDGE, owner=True)


def adapter_for(desk: Sandbox, *, token: Secret | None = None, ahead: timedelta = timedelta(0)) -> PasswordPusher:
    """A new process' adapter: it remembers nothing. Its clock is so much ahead of the service's."""
    url = desk.addresses.passwordpusher
    return PasswordPusher(
        api=PushApi(
            http=Http(system="Password Pusher", scope="links", refuse_sandbox=False, sleep=lambda _: None),
            url=url,
            token=token or Secret(desk.world.credentials.passwordpusher_token),
        ),
        url=url,
        clock=lambda: desk.clock() + ahead,
        places=Places(),
    )


@pytest.fixture(params=["oss", "pro", "v1"])
def edition(request: pytest.FixtureRequest, desk: Sandbox) -> str:
    desk.world.pushes.edition = request.param
    return str(request.param)


@pytest.fixture
def post(desk: Sandbox, edition: str) -> OtherPost:
    return OtherPost(desk, adapter_for(desk), "passwordpusher")


class TestPasswordPusher(LinkServiceContract):
    @pytest.fixture
    def post(self, desk: Sandbox, edition: str) -> LinkPost:
        return OtherPost(desk, adapter_for(desk), "passwordpusher")


# ---------------------------------------------------------------- what is made


def test_what_is_mailed_is_the_page_in_front_of_the_password(post: OtherPost) -> None:
    password = a_password()
    link = post.links.create(a_wish(views=1), password)
    assert link.url.reveal().startswith(f"{post.sandbox.addresses.passwordpusher}/p/")
    assert link.url.reveal().endswith("/r")
    assert link.handle == ""
    assert password.reveal() not in post.person.look(link.url)


def test_a_push_says_whose_it_is_and_when_it_ends_and_no_secret(post: OtherPost) -> None:
    password = a_password()
    link = post.links.create(a_wish(), password)
    (push,) = post.sandbox.world.pushes.kept.values()
    assert push.note == f"{link.id} until 2026-11-22T10:00:00Z for halo/4242"
    assert (push.owned, push.retrieval_step, push.deletable_by_viewer, push.views) == (True, True, False, 2)
    assert (push.name, push.passphrase) == ("", "")
    assert push.url_token not in push.note


@pytest.mark.parametrize(
    ("lifetime", "days", "duration"),
    [
        (timedelta(minutes=1), 1, 0),
        (timedelta(minutes=60), 1, 3),
        (timedelta(minutes=59), 1, 2),
        (timedelta(hours=13), 1, 5),
        (timedelta(days=1, seconds=1), 2, 6),
        (timedelta(days=7), 7, 12),
    ],
)
def test_a_lifetime_is_whole_days_or_the_longest_step_that_is_not_longer(
    lifetime: timedelta, days: int, duration: int
) -> None:
    order = Order(Secret("x"), "", 1, lifetime)
    assert (order.days, order.duration) == (days, duration)


def test_of_two_pushes_with_one_note_the_mailed_one_is_followed(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    pushes = post.sandbox.world.pushes
    (mailed,) = pushes.kept.values()
    twin = {"payload": "x", "note": mailed.note, "retrieval_step": True, "expire_after_views": 2}
    pushes.create(twin, Visitor("192.0.2.1", "", owner=True)).created_at -= SECOND
    assert post.links.news("").events == ()
    post.open(link.url)
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.REVEALED]
    post.pass_time(LIFETIME)
    assert [push.expired for push in pushes.kept.values()] == [True, True]


@pytest.mark.parametrize(("minutes", "hosted"), [(50, 45), (5, 5), (61, 60)])
def test_a_link_is_said_to_end_when_it_does(post: OtherPost, edition: str, minutes: int, hosted: int) -> None:
    link = post.links.create(a_wish(lifetime=timedelta(minutes=minutes)), a_password())
    end = timedelta(minutes=hosted if edition == "pro" else minutes)
    assert link.expires_at == MORNING + end
    (push,) = post.sandbox.world.pushes.kept.values()
    assert f" until {link.expires_at:%Y-%m-%dT%H:%M:%SZ} " in push.note
    post.pass_time(end - SECOND)
    assert post.open(link.url) is not None
    post.pass_time(2 * SECOND)
    assert post.open(link.url) is None
    assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.REVEALED, LinkEventKind.EXPIRED]


def test_a_push_that_came_out_with_other_views_is_ended_at_once(post: OtherPost) -> None:
    post.sandbox.world.pushes.clamp_views = 1  # then its default, five, takes the place of two
    password = a_password()
    with pytest.raises(PermanentError, match=r"links\.views") as refusal:
        post.links.create(a_wish(views=2), password)
    (push,) = post.sandbox.world.pushes.kept.values()
    assert push.expired
    assert password.reveal() not in str(refusal.value)


@pytest.mark.parametrize("edition", ["oss", "pro"], indirect=True)
def test_a_push_that_came_out_without_its_note_is_ended_at_once(post: OtherPost) -> None:
    """After a restart nobody would know it for ours: neither to end it in time nor to revoke it."""
    post.sandbox.world.pushes.keeps_notes = False
    with pytest.raises(PermanentError, match="note"):
        post.links.create(a_wish(), a_password())
    (push,) = post.sandbox.world.pushes.kept.values()
    assert push.expired


def test_a_service_that_changed_its_edition_is_found_out_before_anybody_gets_a_link(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    post.links.create(a_wish(), a_password())
    desk.world.pushes.edition = "pro"  # now `expire_after_days` is dropped without a word
    with pytest.raises(PermanentError):
        post.links.create(a_wish(), a_password())
    assert [push.expired for push in desk.world.pushes.kept.values()] == [False, True]
    assert post.links.create(a_wish(), a_password()).views == 2, "and the next one goes by the new edition"


def test_an_upgrade_that_takes_the_old_calls_away_is_found_out_by_the_first_that_fails(desk: Sandbox) -> None:
    desk.world.pushes.edition = "v1"
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    desk.world.pushes.edition = "oss"
    post.fault("status", match=r"/p(/\w+)*\.json", status=404)
    with pytest.raises(TemporaryError):
        post.links.news("")
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.REVEALED]


def test_one_404_of_a_gateway_makes_no_version_1_of_a_service(desk: Sandbox) -> None:
    desk.world.pushes.edition = "pro"
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    post.fault("status", match="version", times=1, status=404)
    post.links.create(a_wish(), a_password())
    (push,) = desk.world.pushes.kept.values()
    assert push.duration is not None, "made by the calls of the hosted edition"


def test_a_gateway_that_says_404_to_everything_is_a_service_that_is_away(post: OtherPost) -> None:
    known = post.links.create(a_wish(), a_password())
    post.fault("status", status=404)
    for adapter in (post.adapter, adapter_for(post.sandbox)):
        with pytest.raises(TemporaryError, match=r"links\.url"):
            adapter.create(a_wish(), a_password())
        with pytest.raises(TemporaryError, match=r"links\.url"):
            adapter.news("", [Watched(known.id, "", known.expires_at, known.views)])
    assert len(post.sandbox.world.pushes.kept) == 1
    post.repair()
    assert post.open(known.url) is not None
    assert kinds_of(all_events(post.links), known.id) == [LinkEventKind.REVEALED]


@pytest.mark.parametrize("status", [400, 422])
def test_a_push_that_is_not_taken_is_a_persons_business_and_its_answer_is_not_repeated(
    post: OtherPost, status: int
) -> None:
    password = a_password()
    post.fault("status", match="^POST", times=1, status=status, body=f'{{"payload": "{password.reveal()}"}}')
    with pytest.raises(PermanentError) as refusal:
        post.links.create(a_wish(), password)
    assert str(status) in str(refusal.value)
    assert password.reveal() not in f"{refusal.value!r} {refusal.value.__context__!r}"


def test_an_answer_in_another_shape_is_not_believed_and_not_shown(post: OtherPost) -> None:
    password = a_password()
    post.fault("status", match="^POST", times=1, status=201, body=f'{{"url_token": "../{password.reveal()}"}}')
    with pytest.raises(TemporaryError) as failure:
        post.links.create(a_wish(), password)
    assert password.reveal() not in f"{failure.value!r} {failure.value.__context__!r}"


# ---------------------------------------------------------------- its end


def test_a_link_is_ended_in_its_time_though_the_service_would_keep_it_for_a_day(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    link = post.links.create(a_wish(), a_password())
    post.pass_time(LIFETIME - SECOND)
    (push,) = desk.world.pushes.kept.values()
    assert not push.expired
    post.pass_time(SECOND)
    assert push.expired
    assert push.deleted, "by us, not by its time"
    assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.EXPIRED]


def test_a_connector_that_was_away_ends_the_link_when_it_is_back_and_tells_the_truth(post: OtherPost) -> None:
    opened, silent = (post.links.create(a_wish(views=2), a_password()) for _ in range(2))
    post.open(opened.url)
    post.sandbox.clock.moment += LIFETIME * 5
    watched = [Watched(link.id, link.handle, link.expires_at, link.views) for link in (opened, silent)]
    back = adapter_for(post.sandbox)
    events = back.news("", watched).events
    assert kinds_of(events, opened.id) == [LinkEventKind.REVEALED, LinkEventKind.EXPIRED]
    assert kinds_of(events, silent.id) == [LinkEventKind.EXPIRED]
    assert post.open(opened.url) is None


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("behind", [timedelta(minutes=1), timedelta(hours=1)])
def test_a_service_whose_clock_is_behind_ours_makes_no_revocation_of_an_end(
    desk: Sandbox, edition: str, restarted: bool, behind: timedelta
) -> None:
    before = adapter_for(desk, ahead=behind)
    link = before.create(a_wish(lifetime=timedelta(hours=2)), a_password())
    watched = [Watched(link.id, "", link.expires_at, link.views)]
    desk.clock.moment += timedelta(hours=2) + SECOND
    adapter = adapter_for(desk, ahead=behind) if restarted else before
    assert kinds_of(adapter.news("", watched).events, link.id) == [LinkEventKind.EXPIRED]


def test_a_push_that_was_ended_by_hand_stays_revoked_whatever_the_clocks_say(desk: Sandbox, edition: str) -> None:
    adapter = adapter_for(desk, ahead=timedelta(hours=1))
    link = adapter.create(a_wish(), a_password())
    desk.clock.moment += timedelta(minutes=30)
    (push,) = desk.world.pushes.kept.values()
    desk.world.pushes.end(push, by=STAFF)
    desk.clock.moment += LIFETIME
    watched = [Watched(link.id, "", link.expires_at, link.views)]
    assert kinds_of(adapter.news("", watched).events, link.id) == [LinkEventKind.REVOKED]


def test_two_processes_number_the_same_events_the_same_way(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=3), a_password())
    for _ in range(2):
        post.open(link.url)
    watched = [Watched(link.id, link.handle, link.expires_at, link.views)]
    first = post.links.news("").events
    assert adapter_for(post.sandbox).news("", watched).events == first
    post.pass_time(LIFETIME)
    later = adapter_for(post.sandbox).news("", watched).events
    assert later == tuple(all_events(post.links))
    assert later[:2] == first


def test_a_push_that_a_dead_process_left_is_ended_though_nobody_watches_it(post: OtherPost) -> None:
    post.links.create(a_wish(), a_password())
    (push,) = post.sandbox.world.pushes.kept.values()
    back = adapter_for(post.sandbox)
    back.news("", ())
    assert not push.expired
    post.sandbox.clock.moment += LIFETIME
    back.news("", ())
    assert push.expired


def test_a_clock_that_was_set_back_keeps_no_push_alive(post: OtherPost) -> None:
    idle, clock = adapter_for(post.sandbox), post.sandbox.clock
    clock.moment += 3 * LIFETIME
    idle.news("", ())
    clock.moment -= 3 * LIFETIME
    adapter_for(post.sandbox).create(a_wish(), a_password())  # by a process that dies
    clock.moment += LIFETIME + SECOND
    idle.news("", ())
    assert [push.expired for push in post.sandbox.world.pushes.kept.values()] == [True]


def test_a_clock_that_was_set_back_holds_up_no_look_and_no_search(post: OtherPost) -> None:
    lost, seen = (post.links.create(a_wish(), a_password()) for _ in range(2))
    watched = [Watched(link.id, "", link.expires_at, link.views) for link in (lost, seen)]
    post.links.revoke(lost.id)
    pushes, clock = post.sandbox.world.pushes, post.sandbox.clock
    hidden = pushes.kept.pop(token_of(lost.url))
    back = adapter_for(post.sandbox)
    clock.moment += LIFETIME / 2
    assert back.news("", watched).events == ()
    clock.moment -= LIFETIME / 2
    pushes.kept[hidden.url_token] = hidden
    pushes.claim(pushes.kept[token_of(seen.url)], STAFF)
    events = back.news("", watched).events
    assert kinds_of(events, lost.id) == [LinkEventKind.REVOKED]
    assert kinds_of(events, seen.id) == [LinkEventKind.REVEALED]


def test_pushes_of_others_are_left_alone(post: OtherPost) -> None:
    world = post.sandbox.world
    for note in ("", "for Anna", "lnk_0123 until 2001-01-01T00:00:00Z", f"lnk_{'0' * 24} until soon"):
        world.pushes.create({"payload": "theirs", "note": note}, Visitor("192.0.2.1", "", owner=True))
    world.pushes.create({"payload": "x", "note": f"lnk_{'0' * 24} until 2001-01-01T00:00:00Z"}, Visitor("", ""))
    post.links.create(a_wish(), a_password())
    post.pass_time(LIFETIME)
    assert [push.expired for push in world.pushes.kept.values()] == [False] * 5 + [True]


def test_a_link_is_revoked_by_its_note_when_nobody_remembers_its_address(post: OtherPost) -> None:
    kept, link = (post.links.create(a_wish(), a_password()) for _ in range(2))
    for _ in range(2):
        assert adapter_for(post.sandbox).revoke(link.id) is True, "and it stays known when it is dead"
    assert post.open(link.url) is None
    assert post.open(kept.url) is not None
    assert adapter_for(post.sandbox).revoke(f"lnk_{secrets.token_hex(12)}") is False


@pytest.mark.parametrize("restarted", [False, True])
def test_every_push_with_the_note_of_a_link_is_revoked_with_it(post: OtherPost, restarted: bool) -> None:
    link = post.links.create(a_wish(), a_password())
    (push,) = post.sandbox.world.pushes.kept.values()
    twin = {"payload": "x", "note": push.note, "retrieval_step": True}  # what is between us has sent it twice
    post.sandbox.world.pushes.create(twin, Visitor("192.0.2.1", "", owner=True))
    (adapter_for(post.sandbox) if restarted else post.links).revoke(link.id)
    assert [push.expired for push in post.sandbox.world.pushes.kept.values()] == [True, True]


def test_a_push_whose_answer_was_lost_is_revoked_all_the_same(post: OtherPost) -> None:
    post.fault("cut_after", match="^POST", times=1)
    wish = a_wish()
    with pytest.raises(TemporaryError):
        post.links.create(wish, a_password())
    (push,) = post.sandbox.world.pushes.kept.values()
    assert not push.expired
    post.links.revoke(wish.id)
    assert push.expired


@pytest.mark.parametrize("kind", ["cut_after", "status_after"])
def test_a_create_is_not_sent_twice(post: OtherPost, kind: str) -> None:
    post.fault(kind, match="^POST", times=1, status=503, headers={"Retry-After": "0"})
    with pytest.raises(TemporaryError):
        post.links.create(a_wish(), a_password())
    assert len(post.sandbox.world.pushes.kept) == 1


def test_an_end_that_cannot_be_seen_to_is_not_told(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.fault("status", match="^DELETE", status=503)
    post.sandbox.clock.moment += LIFETIME
    with pytest.raises(TemporaryError) as failure:
        post.links.news("")
    assert token_of(link.url) not in f"{failure.value!r} {failure.value.__context__ or ''!r}"
    post.repair()
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.EXPIRED]


def test_a_link_without_any_trace_is_not_said_to_have_ended(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.sandbox.world.pushes.kept.clear()
    post.sandbox.clock.moment += LIFETIME
    watched = [Watched(link.id, link.handle, link.expires_at, link.views)]
    assert adapter_for(post.sandbox).news("", watched).events == ()


def test_a_push_that_was_lost_there_fails_no_poll_and_is_asked_for_now_and_then(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    told = post.links.news("").events
    post.sandbox.world.pushes.kept.clear()  # its database was restored, say
    calls_of(post)
    for _ in range(4 * 60):
        post.sandbox.clock.moment += timedelta(seconds=15)
        assert post.links.news("").events == told
    assert calls_of(post).count(token_of(link.url)) == 12 + 1, "every five minutes, and at its end"


def test_a_push_that_is_listed_and_yet_not_shown_is_trouble(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    post.fault("status", match="audit", status=404)
    with pytest.raises(TemporaryError):
        post.links.news("")
    post.repair()
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.REVEALED]


def test_no_poll_says_that_a_history_broke_off_for_there_is_none(post: OtherPost) -> None:
    post.links.create(a_wish(), a_password())
    post.fault("status", match="active", status=400)
    with pytest.raises(TemporaryError):
        post.links.news("")


def test_a_list_of_the_dead_that_fails_holds_up_no_news_and_is_read_again_later(post: OtherPost) -> None:
    ended, fine = (post.links.create(a_wish(), a_password()) for _ in range(2))
    post.links.revoke(ended.id)
    post.open(fine.url)
    watched = [Watched(link.id, "", link.expires_at, link.views) for link in (ended, fine)]
    back = adapter_for(post.sandbox)
    post.fault("status", match="expired", status=500)
    events = back.news("", watched).events
    assert (kinds_of(events, fine.id), kinds_of(events, ended.id)) == ([LinkEventKind.REVEALED], [])
    post.repair()
    post.sandbox.clock.moment += LOOK_AGAIN_AFTER
    assert kinds_of(back.news("", watched).events, ended.id) == [LinkEventKind.REVOKED]
    post.fault("status", match="expired", status=401)
    with pytest.raises(AuthenticationError):
        adapter_for(post.sandbox).news("", watched)


def test_one_link_that_cannot_be_read_does_not_keep_back_the_others(post: OtherPost) -> None:
    broken, fine = (post.links.create(a_wish(), a_password()) for _ in range(2))
    for link in (broken, fine):
        post.open(link.url)
    post.fault("status", match=f"{token_of(broken.url)}/audit", status=500)
    assert kinds_of(post.links.news("").events, fine.id) == [LinkEventKind.REVEALED]
    post.repair()
    assert kinds_of(all_events(post.links), broken.id) == [LinkEventKind.REVEALED]


@pytest.mark.parametrize("old", [True, False])
def test_a_service_that_says_404_to_an_end_is_not_believed(desk: Sandbox, old: bool) -> None:
    desk.world.pushes.edition = "v1" if old else "oss"
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    link = post.links.create(a_wish(), a_password())
    post.fault("status", match="^DELETE", status=404)
    with pytest.raises(PermanentError):
        post.links.revoke(link.id)
    post.sandbox.clock.moment += LIFETIME
    with pytest.raises(TemporaryError, match="does not let us end"):
        post.links.news("")
    post.repair()
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.EXPIRED]


def test_a_list_that_leaves_a_push_out_once_ends_nothing(desk: Sandbox) -> None:
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    link = post.links.create(a_wish(), a_password())
    post.fault("status", match="active", times=1, status=200, body="[]")
    assert post.links.news("").events == ()
    post.sandbox.clock.moment += LIFETIME
    post.fault("status", match="active", times=1, status=200, body="[]")
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.EXPIRED]
    (push,) = desk.world.pushes.kept.values()
    assert push.deleted, "seen to before it was told"


def test_a_push_that_a_list_leaves_out_once_is_revoked_all_the_same(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.fault("status", match="active", times=1, status=200, body="[]")
    adapter_for(post.sandbox).revoke(link.id)
    assert post.open(link.url) is None


def test_one_push_that_gives_trouble_does_not_slow_the_polls_that_end_the_others(post: OtherPost) -> None:
    broken, fine = (post.links.create(a_wish(), a_password()) for _ in range(2))
    post.fault("status", match=token_of(broken.url), status=500)
    post.sandbox.clock.moment += LIFETIME
    assert kinds_of(post.links.news("").events, fine.id) == [LinkEventKind.EXPIRED]
    assert post.links.news("").events == post.links.news("").events, "without an error, too, when nothing is new"
    post.repair()
    assert kinds_of(all_events(post.links), broken.id) == [LinkEventKind.EXPIRED]


# ---------------------------------------------------------------- what is told


def test_a_reveal_comes_with_address_place_and_browser(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    (shown,) = all_events(post.links)
    assert (shown.kind, shown.ip, shown.place, shown.agent) == (
        LinkEventKind.REVEALED, BRITISH, "United Kingdom (approx.)", "Edge 156 on Windows",
    )  # fmt: skip


def test_somebody_signed_in_at_the_account_who_looks_is_told_and_named_as_such(post: OtherPost, edition: str) -> None:
    link = post.links.create(a_wish(views=2), a_password())
    post.open(link.url)
    pushes = post.sandbox.world.pushes
    (push,) = pushes.kept.values()
    pushes.claim(push, STAFF)
    pushes.claim(push, Visitor(BRITISH, EDGE))
    shown = [event for event in all_events(post.links) if event.kind is LinkEventKind.REVEALED]
    assert [(event.view, event.views_left) for event in shown] == [(1, 1), (0, 1), (2, 0)], "it uses up no view"
    who = "the account's owner or an administrator" if edition == "v1" else "the account's owner"
    assert (shown[1].ip, shown[1].agent) == (STAFF.ip, f"Edge 156 on Windows, signed in at Password Pusher as {who}")


@pytest.mark.parametrize("end", ["used up", "revoked", "by hand", "over"])
def test_whoever_comes_after_the_end_saw_nothing_signed_in_or_not(post: OtherPost, end: str) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    pushes = post.sandbox.world.pushes
    (push,) = pushes.kept.values()
    if end == "used up":
        post.open(link.url)
    elif end == "revoked":
        post.links.revoke(link.id)
    elif end == "by hand":
        pushes.end(push, by=STAFF)
    else:
        post.pass_time(LIFETIME)
    for visitor in (STAFF, Visitor(BRITISH, EDGE)):
        assert pushes.claim(push, visitor) is None
    told = adapter_for(post.sandbox).news("", [Watched(link.id, link.handle, link.expires_at, link.views)]).events
    assert [event.view for event in told if event.kind is LinkEventKind.REVEALED] == [1] * (end == "used up")


def test_a_look_after_the_end_that_no_connector_saw_to_is_told_when_it_is_back(post: OtherPost, edition: str) -> None:
    link = post.links.create(a_wish(), a_password())
    pushes = post.sandbox.world.pushes
    (push,) = pushes.kept.values()
    post.sandbox.clock.moment += 2 * LIFETIME
    seen = pushes.claim(push, STAFF) is not None
    assert seen is (edition != "pro")
    told = adapter_for(post.sandbox).news("", [Watched(link.id, link.handle, link.expires_at, link.views)]).events
    assert [event.ip for event in told if event.kind is LinkEventKind.REVEALED] == [STAFF.ip] * seen


def test_a_look_that_moves_no_count_is_told_within_minutes(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    assert post.links.news("").events == ()
    (push,) = post.sandbox.world.pushes.kept.values()
    post.sandbox.world.pushes.claim(push, STAFF)
    post.sandbox.clock.moment += READ_AGAIN_EVERY - SECOND
    assert post.links.news("").events == ()
    post.sandbox.clock.moment += SECOND
    (shown,) = post.links.news("").events
    assert (shown.link_id, shown.kind, shown.view, shown.views_left) == (link.id, LinkEventKind.REVEALED, 0, 2)


def calls_of(post: OtherPost) -> list[str]:
    """What Password Pusher was asked since the last time, in short: `list`, or the name of a push."""
    record = post.sandbox.world.record
    paths = [call.path for call in record.exchanges if call.system == "passwordpusher"]
    record.clear()
    return ["list" if "active" in path else path.split("/")[-2] for path in paths]


def test_audits_that_are_read_again_are_so_many_a_call_and_each_once_in_its_time(post: OtherPost) -> None:
    many = 2 * MOST_READ_AGAIN + 1
    for _ in range(many):
        post.links.create(a_wish(lifetime=timedelta(hours=2)), a_password())
    post.links.news("")
    calls_of(post)
    every = READ_AGAIN_EVERY / 12
    for _ in range(11):
        post.sandbox.clock.moment += every
        post.links.news("")
    assert calls_of(post) == ["list"] * 11
    read: list[str] = []
    for most in [MOST_READ_AGAIN, MOST_READ_AGAIN, 1, *[0] * 9]:
        post.sandbox.clock.moment += every
        post.links.news("")
        first, *audits = calls_of(post)
        assert (first, len(audits)) == ("list", most)
        read += audits
    assert len(set(read)) == len(read) == many


def test_where_there_are_too_many_those_that_waited_longest_are_read_again_first(post: OtherPost) -> None:
    many = 2 * MOST_READ_AGAIN + 1
    for _ in range(many):
        post.links.create(a_wish(), a_password())
    post.links.news("")
    calls_of(post)
    for _ in range(3):
        post.sandbox.clock.moment += READ_AGAIN_EVERY
        post.links.news("")
    assert len(set(calls_of(post)) - {"list"}) == many


def test_an_audit_that_cannot_be_read_again_fails_no_poll_as_long_as_nothing_may_be_new(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    news = post.links.news("")
    post.fault("status", match="audit", status=500)
    post.sandbox.clock.moment += READ_AGAIN_EVERY
    assert post.links.news(news.cursor).events == ()
    post.open(link.url)
    with pytest.raises(TemporaryError):
        post.links.news(news.cursor)
    post.repair()
    assert kinds_of(post.links.news(news.cursor).events, link.id) == [LinkEventKind.REVEALED]


def test_pushes_whose_audit_cannot_be_read_again_take_no_turns_of_others(post: OtherPost) -> None:
    links = [post.links.create(a_wish(), a_password()) for _ in range(MOST_READ_AGAIN + 1)]
    post.links.news("")
    for link in links[:-1]:
        post.fault("status", match=f"{token_of(link.url)}/audit", status=500)
    pushes = post.sandbox.world.pushes
    pushes.claim(pushes.kept[token_of(links[-1].url)], STAFF)
    post.sandbox.clock.moment += READ_AGAIN_EVERY
    told = [event for _ in range(2) for event in post.links.news("").events]
    assert {event.link_id for event in told} == {links[-1].id}


def test_a_token_that_is_refused_when_an_audit_is_read_again_is_said(post: OtherPost) -> None:
    post.links.create(a_wish(), a_password())
    post.links.news("")
    post.fault("status", match="audit", status=401)
    post.sandbox.clock.moment += READ_AGAIN_EVERY
    with pytest.raises(AuthenticationError):
        post.links.news("")


def test_a_push_that_somebody_ends_by_hand_is_revoked(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    (push,) = post.sandbox.world.pushes.kept.values()
    post.sandbox.world.pushes.end(push, by=Visitor("192.0.2.9", EDGE, owner=True))
    assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.REVOKED]
    post.pass_time(LIFETIME)
    assert kinds_of(all_events(post.links), link.id) == [LinkEventKind.REVOKED]


def test_the_payload_is_never_asked_for(post: OtherPost) -> None:
    """`GET` of a push uses a view, or shows its owner the password."""
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    post.sandbox.world.record.clear()
    all_events(post.links)
    post.links.revoke(link.id)
    post.pass_time(LIFETIME)
    token = token_of(link.url)
    ours = [call for call in post.sandbox.world.record.exchanges if call.system == "passwordpusher"]
    assert ours
    assert [call.path for call in ours if call.method == "GET" and re.search(rf"{token}(\.json|/r)?$", call.path)] == []
    kinds = {log.kind for push in post.sandbox.world.pushes.kept.values() for log in push.logs}
    assert kinds == {"creation", "view", "expire"}


def test_while_nothing_happens_a_poll_is_one_call_and_without_links_none(post: OtherPost) -> None:
    for _ in range(5):
        post.links.create(a_wish(), a_password())
    post.links.news("")
    post.sandbox.world.record.clear()
    post.links.news("")
    assert len(post.sandbox.world.record.exchanges) == 1
    idle = adapter_for(post.sandbox)
    idle.news("", ())
    post.sandbox.world.record.clear()
    idle.news("", ())
    assert len(post.sandbox.world.record.exchanges) == 0


def test_an_audit_of_many_pages_is_read_to_its_end(post: OtherPost) -> None:
    link = post.links.create(a_wish(views=1), a_password())
    post.open(link.url)
    for _ in range(120):
        post.look(Secret(link.url.reveal().removesuffix("/r")))
    (shown,) = [event for event in all_events(post.links) if event.kind is LinkEventKind.REVEALED]
    assert (shown.view, shown.views_left) == (1, 0)


def test_a_row_that_comes_in_while_an_audit_is_read_makes_no_view_of_two(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    pushes = post.sandbox.world.pushes
    (push,) = pushes.kept.values()
    for _ in range(49):
        pushes.claim(push, STAFF)
    pushes.watched_by_staff = True
    shown = [event for event in post.links.news("").events if event.kind is LinkEventKind.REVEALED]
    assert [(event.view, event.views_left) for event in shown] == [(1, 1), *[(0, 1)] * 49]


@pytest.mark.parametrize(
    ("told", "ip"),
    [("::ffff:81.2.69.142", "81.2.69.142"), ("2001:DB8::1", "2001:db8::1"), ("unknown", ""), ("<b>", ""), ("", "")],
)
def test_an_address_is_one_or_left_out(desk: Sandbox, told: str, ip: str) -> None:
    post = OtherPost(desk, adapter_for(desk), "passwordpusher")
    post.links.create(a_wish(), a_password())
    (push,) = desk.world.pushes.kept.values()
    desk.world.pushes.claim(push, Visitor(told, "Mozilla/5.0\x00\nX-Evil: 1"))
    (shown,) = all_events(post.links)
    assert (shown.kind, shown.ip, shown.agent) == (LinkEventKind.REVEALED, ip, "")


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    "said", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_that_cannot_be_is_an_unknown_shape(post: OtherPost, edition: str, said: str) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    row = {"kind": 0 if edition == "v1" else "view", "successful": True, "ip": BRITISH, "created_at": said}
    body = json.dumps({"views" if edition == "v1" else "logs": [row]})
    post.fault("status", match="audit", status=200, body=body)
    with pytest.raises(TemporaryError, match="shape"):
        post.links.news("")
    post.repair()
    assert kinds_of(post.links.news("").events, link.id) == [LinkEventKind.REVEALED]


def test_a_wrong_token_makes_no_push_not_even_an_anonymous_one(post: OtherPost) -> None:
    token = Secret(secrets.token_urlsafe())
    stranger = adapter_for(post.sandbox, token=token)
    with pytest.raises(AuthenticationError) as refusal:
        stranger.create(a_wish(), a_password())
    assert token.reveal() not in str(refusal.value)
    assert "PWP__ENABLE_LOGINS" in str(refusal.value)
    assert post.sandbox.world.pushes.kept == {}
    (finding,) = stranger.check()
    assert (finding.level, finding.about) == (Level.ERROR, "links.token")


def test_no_failure_shows_an_address(post: OtherPost) -> None:
    link = post.links.create(a_wish(), a_password())
    post.open(link.url)
    watched = [Watched(link.id, link.handle, link.expires_at, link.views)]
    for trouble in ({"kind": "cut_before"}, {"kind": "status", "status": 500}, {"kind": "not_json"}):
        post.fault(**trouble, match="audit")  # type: ignore[arg-type]
        with pytest.raises(TemporaryError) as failure:
            adapter_for(post.sandbox).news("", watched)
        assert token_of(link.url) not in f"{failure.value!r} {failure.value}"
        post.repair()


def test_a_throttle_is_temporary_and_names_its_wait(post: OtherPost) -> None:
    post.fault("status", status=429, headers={"Retry-After": "40"})
    with pytest.raises(TemporaryError) as failure:
        post.links.create(a_wish(), a_password())
    assert failure.value.retry_after == timedelta(seconds=40)


def test_the_check_names_the_edition_and_warns_of_what_it_lacks(post: OtherPost, edition: str) -> None:
    post.sandbox.world.pushes.create({"payload": "theirs"}, Visitor("192.0.2.1", "", owner=True))
    found = list(post.links.check())
    assert found[0].level is Level.OK
    assert {"oss": "API v2", "pro": "hosted", "v1": "API v1"}[edition] in found[0].text
    text = " ".join(f"{finding.text} {finding.todo}" for finding in found[1:])
    assert {finding.level for finding in found[1:]} == {Level.WARNING}
    assert "an account of its own" in text
    assert ("PWPUSH_MASTER_KEY" in text) is (edition != "pro")
    assert ("for up to a day" in text) is (edition != "pro")
    assert ("ends a step earlier" in text) is (edition == "pro")
