"""The digest of a decision: the same rows give the same digest, and any other word another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connector.core.evidence import digest_of

rows = st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), max_size=4)


@given(rows=rows, order=st.randoms())
def test_the_order_of_rows_and_fields_does_not_count(rows: list[dict[str, str]], order: object) -> None:
    shuffled = [dict(reversed(row.items())) for row in rows]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest_of(rows) == digest_of(shuffled)


@given(first=rows, second=rows)
def test_other_rows_have_another_digest(first: list[dict[str, str]], second: list[dict[str, str]]) -> None:
    def key(one: list[dict[str, str]]) -> list[list[tuple[str, str]]]:
        return sorted(sorted(row.items()) for row in one)

    assert (digest_of(first) == digest_of(second)) is (key(first) == key(second))


def test_it_is_a_sha_256_in_hexadecimal() -> None:
    assert len(digest_of([{"result": "1"}])) == 64
