"""What is read out of a ticket's subject field, and what is not guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.subject import LONGEST, read_subject

WHO = "lea@contoso.example.com"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (WHO, WHO),
        (f"  {WHO}\n", WHO),
        ("\tLEA@Contoso.Example.COM\r\n", WHO),
        (f"Lea <{WHO}>", WHO),
        (f"mailto:{WHO}", WHO),
        (f"MAILTO:{WHO}", WHO),
        (f"Lea <mailto:{WHO}>", WHO),
        (f'<a href="mailto:{WHO}">{WHO}</a>', WHO),
        (f"{WHO}, LEA@CONTOSO.EXAMPLE.COM", WHO),
        (f"Please reset {WHO}.", WHO),
        (f"account: {WHO}; thanks", WHO),
        ("mary.o'hara@contoso.example.com", "mary.o'hara@contoso.example.com"),
        ("lea+it@contoso.example.com", "lea+it@contoso.example.com"),
        ("Léa.Müller@contoso.example.com", "léa.müller@contoso.example.com"),
        ("Ελένη@contoso.example.com", "ελένη@contoso.example.com"),
        ("straße@contoso.example.com", "straße@contoso.example.com"),
        ("lea_müller#ext#@contoso.onmicrosoft.com", "lea_müller#ext#@contoso.onmicrosoft.com"),
    ],
)
def test_the_one_address_is_found_and_folded(text: str, address: str) -> None:
    subject = read_subject(text)
    assert (subject.address, subject.problem) == (address, "")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"])
def test_an_empty_field_names_no_account(text: str) -> None:
    assert read_subject(text).problem == "the ticket names no account"


@pytest.mark.parametrize(
    "text", ["lea", "lea@contoso", "@contoso.example.com", "lea at contoso.example.com", "@", "a@b@c"]
)
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    assert "holds no e-mail address" in read_subject(text).problem


@pytest.mark.parametrize(
    "text",
    [
        f"{WHO} tom@contoso.example.com",
        f"{WHO},tom@contoso.example.com",
        f"{WHO};\ntom@contoso.example.com",
        f"tom@contoso.example.com <{WHO}>",
        f"{WHO} lea@contoso.example.org",
    ],
)
def test_two_addresses_are_one_too_many(text: str) -> None:
    subject = read_subject(text)
    assert subject.address == ""
    assert "names 2 addresses" in subject.problem


@pytest.mark.parametrize(
    "unseen",
    [
        "\u200b",  # zero width space
        "\u200d",  # zero width joiner
        "\u00ad",  # soft hyphen
        "\u202e",  # right-to-left override
        "\u2066",  # left-to-right isolate
        "\ufeff",  # byte order mark
        "\x00",
        "\x7f",
        "\x9b",
        "\ue000",  # private use
        "\ud800",  # half of a pair
        "\u3164",  # Hangul filler
        "\u2800",  # blank Braille pattern
        "\ufe0f",  # variation selector
        "\U000e0101",
    ],
)
def test_what_a_person_cannot_see_is_a_problem_wherever_it_stands(unseen: str) -> None:
    for text in (f"{unseen}{WHO}", f"le{unseen}a@contoso.example.com", f"{WHO}{unseen}"):
        subject = read_subject(text)
        assert subject.address == ""
        assert subject.problem == "the subject field holds invisible characters"


def test_letters_that_only_look_alike_stay_what_they_are() -> None:
    cyrillic = "lе\u0430@contoso.example.com"
    assert read_subject(cyrillic).address == cyrillic != WHO


def test_an_address_that_is_too_long_is_refused() -> None:
    assert "too long" in read_subject(f"{'a' * LONGEST}@contoso.example.com").problem
    assert "far too long" in read_subject(f"{WHO}{' ' * 4 * LONGEST}x").problem


@given(st.text())
def test_nothing_makes_it_fail_and_exactly_one_of_address_and_problem_is_given(text: str) -> None:
    subject = read_subject(text)
    assert bool(subject.address) is not bool(subject.problem)
    assert read_subject(text) == subject


@given(st.text(alphabet="ab@.<> ,:mailto\u200b\n'+é", max_size=60))
def test_an_address_that_is_found_stands_in_the_text(text: str) -> None:
    address = read_subject(text).address
    assert address.casefold() in text.casefold()
    assert address == "" or address.count("@") == 1


@given(st.emails(), st.sampled_from(["{}", " {} ", "<{}>", "Lea <{}>", "mailto:{}"]))
def test_what_is_found_once_is_found_again_in_what_was_found(email: str, around: str) -> None:
    first = read_subject(around.format(email)).address
    if first:
        assert read_subject(first).address == first
