"""Files that another process reads."""

import os
from pathlib import Path

import pytest

from hostel.wire.files import remove_temporaries, write_atomically


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a.json", b"old")
    for name in (".hidden", ".a.json.aside", "a.json.0123abcd"):
        (tmp_path / name).touch()
    kept = set(os.listdir(tmp_path))
    with monkeypatch.context() as killed:
        killed.setattr(os, "rename", lambda *_: None)  # the writer ends before it
        write_atomically(tmp_path / "a.json", b"new")
    assert len(set(os.listdir(tmp_path)) - kept) == 1
    remove_temporaries(tmp_path)
    assert set(os.listdir(tmp_path)) == kept
    assert (tmp_path / "a.json").read_bytes() == b"old"
