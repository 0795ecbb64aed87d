"""New passwords: strong enough, accepted by Entra's rules, and easy on whoever types them."""

from __future__ import annotations

import math
import random
import string
from itertools import product

import pytest

from connector import passwords
from connector.core.secret import Secret
from connector.passwords import Policy, count_with_every_class, entropy, new_password

MANY = 400


def many(policy: Policy) -> list[str]:
    return [new_password(policy).reveal() for _ in range(MANY)]


@pytest.mark.parametrize("policy", list(Policy))
def test_every_password_fits_entras_rules(policy: Policy) -> None:
    for password in many(policy):
        assert 16 <= len(password) <= 256
        assert password.isascii()
        assert " " not in password
        kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)
        assert sum(any(letter in kind for letter in password) for kind in kinds) >= 3


@pytest.mark.parametrize("policy", list(Policy))
def test_no_password_comes_twice(policy: Policy) -> None:
    assert len(set(many(policy))) == MANY


@pytest.mark.parametrize("policy", list(Policy))
def test_a_seeded_random_module_makes_no_password_predictable(policy: Policy) -> None:
    random.seed(1)
    first = new_password(policy)
    random.seed(1)
    assert new_password(policy) != first


def test_a_passphrase_is_four_words_and_three_digits() -> None:
    for password in many(Policy.PASSPHRASE):
        *words, digits = password.split("-")
        assert len(words) == 4
        assert all(word.isalpha() and word[0].isupper() and word[1:].islower() for word in words)
        assert all(4 <= len(word) <= 8 for word in words)
        assert digits.isdigit()
        assert len(digits) == 3


@pytest.mark.parametrize("banned", passwords.BANNED)
def test_no_word_of_a_passphrase_is_one_that_microsoft_bans(banned: str) -> None:
    assert not [word for word in passwords._words() if banned in word]


def test_random_characters_hold_no_look_alikes() -> None:
    assert not set("".join(many(Policy.RANDOM))) & set("0O1lI|'\"`, ")


def test_random_characters_are_of_all_four_classes() -> None:
    for password in many(Policy.RANDOM):
        assert all(any(letter in members for letter in password) for members in passwords.CLASSES)


def test_the_standard_is_the_passphrase() -> None:
    assert new_password().reveal().count("-") == 4


def test_the_result_does_not_show_itself() -> None:
    password = new_password()
    assert isinstance(password, Secret)
    assert password.reveal() not in f"{password} {password!r}"


def test_a_passphrase_is_as_strong_as_four_of_so_many_words_and_three_digits() -> None:
    assert entropy(Policy.PASSPHRASE) == pytest.approx(4 * math.log2(6134) + 3 * math.log2(10), abs=2)
    assert entropy(Policy.PASSPHRASE) >= 58


def test_random_characters_lose_little_strength_to_the_rule_about_classes() -> None:
    letters = sum(len(members) for members in passwords.CLASSES)
    everything = passwords.RANDOM_LENGTH * math.log2(letters)
    assert everything - 1 < entropy(Policy.RANDOM) < everything


@pytest.mark.parametrize(("classes", "length"), [(("ab", "C"), 3), (("a", "B", "1"), 2), (("ab", "CD", "12"), 4)])
def test_the_count_of_possible_passwords_is_right_where_it_can_be_counted(
    classes: tuple[str, ...], length: int
) -> None:
    every = ("".join(letters) for letters in product("".join(classes), repeat=length))
    counted = sum(all(set(word) & set(members) for members in classes) for word in every)
    assert count_with_every_class(classes, length) == counted
