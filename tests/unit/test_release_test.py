"""What script/release-test takes for a failure. The trials themselves need root, the network and minutes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ebpftop_packages.project import CHECKOUT
from ebpftop_trials.__main__ import wanted
from ebpftop_trials.system import RELEASES, Done, System, TrialError
from ebpftop_trials.trials import TRIALS
from ebpftop_trials.use import nothing_is_left


def test_each_package_is_tried_in_each_release_and_the_rpm_where_rpm_is() -> None:
    pairs = set(wanted(None))
    assert pairs == {(kind, release) for kind in ("deb", "wheel", "pex") for release in RELEASES} | {("rpm", "trixie")}
    assert {kind for kind, _ in pairs} == set(TRIALS)
    assert list(wanted([["pex", "sid"], ["deb", "bookworm"]])) == [("deb", "bookworm"), ("pex", "sid")]


def test_a_command_that_ends_otherwise_or_does_not_say_what_it_should_is_a_failure() -> None:
    done = Done("ebpftop check", 0, "execs  works via fentry\n")
    assert done.must("works via") == done.output
    with pytest.raises(TrialError, match="wrote no 'users'"):
        done.must("works via", "users")
    with pytest.raises(TrialError, match="`ebpftop check` ended with 0"):
        done.must(status=1)


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A folder that stands for a system."""
    for name in ("usr/lib/ebpftop/__pycache__", "var/cache/apt", "etc"):
        (tmp_path / name).mkdir(parents=True)
    return System(tmp_path, "sid")


def test_a_file_or_an_empty_folder_that_is_left_is_a_failure(system: System) -> None:
    before = system.files()
    nothing_is_left(before, system)
    (system.root / "var/cache/apt/some.deb").touch()  # apt's own
    nothing_is_left(before, system)
    for left in ("usr/lib/ebpftop/__pycache__/app.pyc", "usr/lib/ebpftop/empty/"):
        place = system.root / left
        place.mkdir() if left.endswith("/") else place.touch()
        with pytest.raises(TrialError, match=f"1 are left: .'{left.rstrip('/')}'"):
            nothing_is_left(before, system)
        place.rmdir() if left.endswith("/") else place.unlink()


def test_what_was_there_before_and_is_gone_is_a_failure(system: System) -> None:
    before = system.files()
    (system.root / "etc").rmdir()
    with pytest.raises(TrialError, match=r"1 are gone: .'etc'"):
        nothing_is_left(before, system)


@pytest.mark.parametrize("script", ["package", "release-test"])
def test_the_scripts_say_how_they_are_used(script: str) -> None:
    done = subprocess.run([CHECKOUT / "script" / script, "--help"], check=True, stdout=subprocess.PIPE, text=True)
    assert "set -euo" not in done.stdout
    for option in ("--output", "--repository") if script == "package" else ("--only", "--from", "--cache", "--mirror"):
        assert option in done.stdout
