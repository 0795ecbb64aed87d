"""New passwords: strong enough, accepted by Entra's rules, and easy on whoever types them."""

from __future__ import annotations

import calendar
import math
import random
import string
from collections import Counter
from importlib import resources
from itertools import product

import pytest

from connector import passwords
from connector.core.secret import Secret
from connector.passwords import (
    Policy,
    count_passphrases,
    count_with_every_class,
    describe,
    entropy,
    new_password,
    passphrase,
    vocabulary,
    words_left_out,
)

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
    assert not [word for word in vocabulary() if banned in word]


MONTHS_AND_DAYS = {calendar.month_name[month].lower() for month in range(1, 13)} | {
    calendar.day_name[day].lower() for day in range(7)
}
SEASONS = {"spring", "summer", "autumn", "fall", "winter"}
OFFICE_WORDS = {"company", "login", "manager", "outlook", "secret", "security", "service", "support", "user"}


@pytest.mark.parametrize("word", sorted((MONTHS_AND_DAYS - {"may"}) | SEASONS | OFFICE_WORDS))
def test_no_word_of_a_passphrase_is_one_that_people_make_passwords_of(word: str) -> None:
    assert word not in vocabulary()


# Sets of words with one sound, written down by themselves: they are not read from the file under test.
SOUND_ALIKE = (
    "know no", "their there", "weather whether", "write right rite", "two too to", "carrot carat karat", "kept capped",
    "cash cache", "cannon canon", "capital capitol", "parish perish", "flier flyer", "shone shown", "lily lilly",
    "phony phoney", "bony boney", "baggy baggie", "elusive illusive", "sulfate sulphate", "bauble bobble",
    "caddy caddie", "gray grey", "fiber fibre", "harbor harbour", "theater theatre", "plow plough", "whole hole",
    "muscle mussel", "ascent assent", "symbol cymbal", "coral choral", "ought aught", "manner manor", "knee nee",
    "paced paste", "patience patients", "premier premiere", "praying preying", "throne thrown", "step steppe",
    "cork caulk", "panda pander", "program programme", "donut doughnut", "disk disc", "rhyme rime", "wrath rath",
)  # fmt: skip


@pytest.mark.parametrize("words", SOUND_ALIKE)
def test_no_word_of_a_passphrase_sounds_like_another_word(words: str) -> None:
    assert not set(words.split()) & set(vocabulary()), (
        "whoever hears it does not know that the other is not in the list"
    )


def test_every_word_that_is_left_out_is_in_the_list_it_is_left_out_of() -> None:
    assert words_left_out() <= set(eff_words()), "a slip of the pen would leave nothing out"
    assert not words_left_out() & set(vocabulary())


def eff_words() -> list[str]:
    """The EFF's long list, read anew."""
    text = (resources.files("xkcdpass") / "static" / "eff-long").read_text(encoding="utf-8")
    return [word for word in text.split() if 4 <= len(word) <= 8 and word.isascii() and word.isalpha()]


def test_the_words_are_the_effs_without_those_left_out() -> None:
    left = set(eff_words()) - words_left_out()
    assert set(vocabulary()) == {word for word in left if "password" not in word and "welcome" not in word}


def test_a_passphrase_has_one_character_at_most_that_cannot_be_spoken() -> None:
    assert {letter for letter in "".join(many(Policy.PASSPHRASE)) if not letter.isalnum()} == {"-"}


def test_no_digit_of_a_passphrase_looks_like_a_letter() -> None:
    assert not set("".join(many(Policy.PASSPHRASE))) & set("01")


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


SHRUNKEN = ("acorn", "bamboo", "cobalt")


def every_passphrase(words: tuple[str, ...]) -> set[str]:
    """All of them, one by one."""
    digits = ["".join(figures) for figures in product("23456789", repeat=3)]
    return {
        "-".join((*(word.title() for word in chosen), ending))
        for chosen in product(words, repeat=4)
        for ending in digits
    }


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_count_of_passphrases_is_right_where_they_can_be_counted(size: int) -> None:
    assert count_passphrases(size) == len(every_passphrase(SHRUNKEN[:size]))


def test_a_passphrase_is_one_of_those_that_were_counted() -> None:
    every = every_passphrase(SHRUNKEN)
    assert {passphrase(SHRUNKEN) for _ in range(MANY)} <= every


def test_each_word_and_each_digit_of_a_passphrase_is_as_likely_as_the_next() -> None:
    made = [passphrase(SHRUNKEN).split("-") for _ in range(3000)]
    for place in range(4):
        counts = Counter(parts[place] for parts in made)
        assert all(800 < counts[word.title()] < 1200 for word in SHRUNKEN), "eight standard deviations"
    for place in range(3):
        counts = Counter(parts[4][place] for parts in made)
        assert all(230 < counts[digit] < 520 for digit in "23456789"), "eight standard deviations"


def test_a_passphrase_is_strong_enough_by_a_count_of_its_own() -> None:
    words = set(eff_words()) - words_left_out()
    words -= {word for word in words if "password" in word or "welcome" in word}
    bits = sum([math.log2(len(words))] * 4 + [math.log2(8)] * 3)
    assert entropy(Policy.PASSPHRASE) == pytest.approx(bits, abs=1e-9)
    assert bits >= 55


def test_random_characters_are_strong_enough() -> None:
    assert entropy(Policy.RANDOM) >= 100


def test_a_policy_is_described_in_one_line_with_its_strength() -> None:
    words, characters = describe(Policy.PASSPHRASE), describe(Policy.RANDOM)
    assert (words.rpartition(",")[0], characters.rpartition(",")[0]) == (
        "passphrase: 4 words and 3 digits",
        "random: 20 characters",
    )
    for policy, line in ((Policy.PASSPHRASE, words), (Policy.RANDOM, characters)):
        bits = float(line.rpartition(", ")[2].removesuffix(" bits"))
        assert 0 <= entropy(policy) - bits < 0.1, "never more than is true"


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
