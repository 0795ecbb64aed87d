"""The words of failures."""

from __future__ import annotations

import pytest

from connector.errors import TemporaryError, without_promise


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("HaloPSA answered 500 to GET x. It is tried again by itself.", "HaloPSA answered 500 to GET x."),
        ("It is away. It is tried again by itself; check the network.", "It is away. Check the network."),
        ("It is away. It is tried again; if it lasts, look there.", "It is away. If it lasts, look there."),
        ("It sent nothing. It is tried again. Look there.", "It sent nothing. Look there."),
        ("The service is away.", "The service is away."),
    ],
)
def test_who_makes_no_other_try_promises_none(said: str, left: str) -> None:
    assert without_promise(TemporaryError(said)) == left
