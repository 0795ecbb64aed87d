"""The fake keeps the promises of a mailer."""

from __future__ import annotations

import pytest

from connector.core.ports import Mailer
from connector.errors import TemporaryError
from tests.contracts.mailer import Delivered, MailerContract, PostOffice, an_email
from tests.fakes.mailer import FakeMailer


class FakePost:
    def __init__(self) -> None:
        self.fake = FakeMailer()
        self.mailer: Mailer = self.fake

    def delivered(self) -> list[Delivered]:
        return [Delivered(mail.message_id, mail.to, mail.subject, mail.text, mail.html) for mail in self.fake.sent]

    def refuse(self, address: str) -> None:
        self.fake.refused.add(address)

    def make_busy(self, address: str) -> None:
        self.fake.busy.add(address)

    def change_password(self) -> None:
        self.fake.sign_in_refused = True

    def go_down(self) -> None:
        self.fake.down = True


class TestFakeMailer(MailerContract):
    @pytest.fixture
    def post(self) -> PostOffice:
        return FakePost()


def test_an_ordered_failure_comes_once_and_without_or_with_the_effect() -> None:
    mailer = FakeMailer()
    mailer.raise_before("send", TemporaryError("lost on the way there"))
    mailer.raise_after("send", TemporaryError("lost on the way back"))
    with pytest.raises(TemporaryError, match="there"):
        mailer.send(an_email())
    assert mailer.sent == []
    with pytest.raises(TemporaryError, match="back"):
        mailer.send(an_email())
    assert len(mailer.sent) == 1
    mailer.send(an_email())
    assert len(mailer.sent) == 2
