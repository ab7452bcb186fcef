"""The palace's lock: who holds it is named whole, however long the names before were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mempalace_toolkit.errors import PalaceBusyError
from mempalace_toolkit.palace.toolkit_lock import (
    LOCK_NAME,
    palace_holder,
    palace_lock,
    write_holder,
)


def test_a_short_name_after_a_long_one_stands_alone(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    write_holder(descriptor, "PID 123456 (mempalace-toolkit repair --deep)", 1, file)
    write_holder(descriptor, "PID 7 (run)", 1, file)
    os.close(descriptor)
    assert file.read_bytes() == b"\0PID 7 (run)"


def test_a_contender_is_told_the_present_holder(tmp_path: Path) -> None:
    with palace_lock(tmp_path, tmp_path, 0, "a command with a name of some length"):
        pass
    assert palace_holder(tmp_path, tmp_path) is None
    with palace_lock(tmp_path, tmp_path, 0, "run"):
        assert palace_holder(tmp_path, tmp_path) == f"PID {os.getpid()} (run)"
        with (
            pytest.raises(PalaceBusyError, match=rf"PID {os.getpid()} \(run\)$"),
            palace_lock(tmp_path, tmp_path, 0, "another"),
        ):
            pass
    assert (tmp_path / LOCK_NAME).stat().st_mode & 0o777 == 0o600
