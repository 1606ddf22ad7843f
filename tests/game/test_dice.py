"""Dice: what makes a crash reroll nothing."""

from collections import Counter

from gameserver.game.rules import Dice


def rolls(seed: str, position: int, count: int = 20) -> list[int]:
    dice = Dice(seed, position)
    return [dice.roll(1, 1_000_000) for _ in range(count)]


def test_the_same_seed_and_position_always_roll_the_same() -> None:
    assert rolls("secret", 7) == rolls("secret", 7)


def test_every_roll_position_and_seed_differs_from_the_next() -> None:
    assert len(set(rolls("secret", 7))) == 20
    assert rolls("secret", 7) != rolls("secret", 8)
    assert rolls("secret", 7) != rolls("other", 7)


def test_the_rolls_of_a_known_battle_never_change_with_a_new_release() -> None:
    assert rolls("secret", 7, 3) == [478_359, 897_748, 637_125]


def test_a_roll_stays_within_its_bounds_and_reaches_both() -> None:
    dice = Dice("secret", 1)
    seen = Counter(dice.roll(8, 16) for _ in range(9_000))
    assert sorted(seen) == list(range(8, 17))
    assert all(800 < count < 1_200 for count in seen.values()), "each face comes up about as often"


def test_a_die_with_one_face_shows_it() -> None:
    assert Dice("secret", 1).roll(5, 5) == 5


def test_a_pick_is_one_of_the_items() -> None:
    dice = Dice("secret", 1)
    assert {dice.pick("abc") for _ in range(100)} == {"a", "b", "c"}
