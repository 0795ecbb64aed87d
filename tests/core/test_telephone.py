"""Which number a press on a phone number dials."""

from __future__ import annotations

import pytest

from connector.core.telephone import dialled


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+44 20 7946 0958", "+442079460958"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("(020) 7946-0958", "02079460958"),
        ("030/1234\u20110", "03012340"),
        ("+44 20 7946 0958 ext. 12", "+442079460958"),
        ("020 7946 0958 or 020 7946 0959", "02079460958"),
        ("Call 020 7946 0958, Monday to Friday", "02079460958"),
        ("(day and night) 112", "112"),
        ("24/7: +44 20 7946 0000", "+442079460000"),
        ("Desk, 24 hours +44 20 7946 0000", "+442079460000"),
        ("Monday to Friday, 8-17: 020 7946 0000", "02079460000"),
        ("0049 (0)30 123456", "004930123456"),
    ],
)
def test_a_number_is_dialled_without_what_stands_around_it(text: str, number: str) -> None:
    assert dialled(text) == number


@pytest.mark.parametrize("text", ["", "Teams: IT desk", "Level 2, room 7", "020 7946 0958 / 020 7946 0959", "٠٢٠٧٩٤٦"])
def test_what_is_no_number_is_not_dialled(text: str) -> None:
    assert dialled(text) == ""
