"""Who is heavy: a moving average over a few seconds, with a gap between becoming it and ceasing to be."""

from hostel.agent.fairness import Fairness

PATH = "/hostel-of-a-test/16"  # there is no such cgroup: what would be written goes nowhere


def used(
    fairness: Fairness, cores: float, *, seconds: int, since: tuple[float, float]
) -> tuple[tuple[float, float], bool]:
    """After so many seconds at so many cores: the counter and the clock then, and whether it is heavy."""
    cpu_s, now = since
    is_heavy = False
    for _ in range(seconds):
        cpu_s, now = cpu_s + cores, now + 1
        is_heavy = fairness.look_at(PATH, cpu_s, now)
    return (cpu_s, now), is_heavy


def test_a_tenant_is_heavy_after_a_while_and_light_again_after_another() -> None:
    fairness = Fairness()
    fairness.look_at(PATH, 1_000.0, 0.0)  # what it used before the agent started tells nothing
    at, is_heavy = used(fairness, 0.3, seconds=20, since=(1_000.0, 0.0))
    assert not is_heavy
    at, is_heavy = used(fairness, 2.0, seconds=3, since=at)
    assert is_heavy
    at, is_heavy = used(fairness, 0.3, seconds=20, since=at)
    assert is_heavy, "between the two it stays what it was"
    at, is_heavy = used(fairness, 0.05, seconds=5, since=at)
    assert not is_heavy


def test_a_short_burst_makes_nobody_heavy() -> None:
    fairness = Fairness()
    fairness.look_at(PATH, 0.0, 0.0)
    _, is_heavy = used(fairness, 1.0, seconds=1, since=(0.0, 0.0))
    assert not is_heavy


def test_a_counter_that_began_anew_is_no_use() -> None:
    fairness = Fairness()
    fairness.look_at(PATH, 500.0, 0.0)
    assert not fairness.look_at(PATH, 3.0, 1.0)
    assert not fairness.look_at(PATH, 3.0, 2.0)


def test_nobody_is_looked_at_while_all_together_use_little() -> None:
    fairness = Fairness()
    assert fairness._is_worth_a_look(500.0, 1_000.0), "nothing is known yet"
    assert not fairness._is_worth_a_look(500.1, 1_001.0)
    assert fairness._is_worth_a_look(500.6, 1_002.0)
    fairness.look_at(PATH, 0.0, 0.0)
    used(fairness, 2.0, seconds=3, since=(0.0, 0.0))
    assert fairness._is_worth_a_look(500.6, 1_003.0), "until the heavy one is light again"
