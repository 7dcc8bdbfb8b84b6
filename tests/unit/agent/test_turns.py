"""A bounded number at a time, and each in its turn."""

from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.turns import Turns

NAMES = st.sets(st.text("abcdef.", min_size=1, max_size=4), min_size=1, max_size=40)


@given(NAMES, st.integers(1, 50))
def test_each_comes_round_once_before_any_comes_again(names: set[str], most: int) -> None:
    turns = Turns(most)
    seen: list[str] = []
    while len(seen) < len(names):
        turn = turns.take(names)
        assert 0 < len(turn) <= most
        assert len(set(turn)) == len(turn)
        seen += turn
    assert set(seen[: len(names)]) == names


@given(NAMES, NAMES)
def test_nobody_gets_a_turn_who_is_gone(names: set[str], others: set[str]) -> None:
    turns = Turns(3)
    turns.take(names)
    assert set(turns.take(others)) <= others
    assert turns.take([]) == []
