"""Claims of several installations on one machine."""

import shutil
from pathlib import Path

import pytest

from hostel.agent.installation import UIDS, ensure_installation, take_number
from hostel.wire.errors import ConfigError
from hostel.wire.paths import Paths

POOL = "10.192.0.0/11"


def root(tmp_path: Path, name: str) -> Paths:
    paths = Paths(tmp_path / name)
    paths.state.mkdir(parents=True)
    return paths


def test_a_second_call_finds_what_the_first_claimed(tmp_path: Path) -> None:
    paths, claims = root(tmp_path, "a"), tmp_path / "claims"
    assert ensure_installation(paths, pool=POOL, claims=claims) == ensure_installation(paths, pool=POOL, claims=claims)


def test_two_installations_share_neither_uids_nor_subnet_nor_names(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    one = ensure_installation(root(tmp_path, "a"), pool=POOL, claims=claims)
    two = ensure_installation(root(tmp_path, "b"), pool=POOL, claims=claims)
    assert abs(one.uid_base - two.uid_base) >= UIDS
    assert one.subnet != two.subnet
    assert one.id != two.id
    assert one.interface(16) != two.interface(16)
    assert len(one.interface(UIDS - 1)) <= 15


def test_the_claim_of_a_root_that_is_gone_is_free_again(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    gone = root(tmp_path, "a")
    first = ensure_installation(gone, pool="10.1.0.0/16", claims=claims)
    shutil.rmtree(gone.root)
    second = ensure_installation(root(tmp_path, "b"), pool="10.1.0.0/16", claims=claims)
    assert (second.uid_base, second.subnet) == (first.uid_base, first.subnet)


def test_a_copied_root_is_refused(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    original = root(tmp_path, "a")
    ensure_installation(original, pool=POOL, claims=claims)
    shutil.copytree(original.root, tmp_path / "b")
    with pytest.raises(ConfigError, match="was the folder copied"):
        ensure_installation(Paths(tmp_path / "b"), pool=POOL, claims=claims)


def test_a_pool_that_is_full_says_so(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    ensure_installation(root(tmp_path, "a"), pool="10.1.0.0/16", claims=claims)
    with pytest.raises(ConfigError, match="choose a larger pool"):
        ensure_installation(root(tmp_path, "b"), pool="10.1.0.0/16", claims=claims)


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    paths, claims = root(tmp_path, "a"), tmp_path / "claims"
    installation = ensure_installation(paths, pool=POOL, claims=claims)
    numbers = []
    for _ in range(3):
        number, _ = take_number(paths, installation)
        installation = ensure_installation(paths, pool=POOL, claims=claims)  # as after a crash
        numbers.append(number)
    assert len(set(numbers)) == 3
