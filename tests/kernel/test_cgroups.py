"""Cgroups on the running kernel: whose container a program runs in, by each name; one that is made again and again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ebpftop.filters.spec import Filter
from ebpftop.kernel import filter_maps
from ebpftop.kernel.cgroups import hierarchies
from ebpftop.kernel.filter_maps import KernelFilter
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from tests.kernel.support import Stream, compile_c, last, needs_root, of
from tests.kernel.workload_context import cgroup
from tests.unit.test_cgroup_path import CONTAINERS, NO_CONTAINERS

pytestmark = needs_root

RUN = f"ebpftop-cgroups-{os.getpid()}"
KINDS = [
    pytest.param(
        v1,
        marks=pytest.mark.skipif(v1 not in {one.v1 for one in hierarchies()}, reason="this hierarchy is not mounted"),
        id="v1" if v1 else "v2",
    )
    for v1 in (False, True)
]

# `enters names FOLDER ...` has /bin/true run in each folder of the cgroup file system, with the folder's number among
# them as its argument. `enters again FOLDER TIMES` makes the folder, has /bin/true run in it, and removes it, so often
# and without a pause.
ENTERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_in(const char *folder, int number)
{
	char path[8192], word[16];
	int status, fd;

	if (!fork()) {
		snprintf(path, sizeof path, "%s/cgroup.procs", folder);
		snprintf(word, sizeof word, "%d", number);
		fd = open(path, O_WRONLY);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		execl("/bin/true", "true", word, (char *)0);
		_exit(2);
	}
	wait(&status);
	if (status)
		exit(3);
}

int main(int argc, char **argv)
{
	if (!strcmp(argv[1], "names"))
		for (int i = 2; i < argc; i++)
			run_in(argv[i], i - 2);
	else
		for (int i = 0; i < atoi(argv[3]); i++) {
			if (mkdir(argv[2], 0755))
				return 4;
			run_in(argv[2], i);
			while (rmdir(argv[2]))
				if (errno != EBUSY)
					return 5;
		}
	return 0;
}
"""


@pytest.fixture
def enters(tmp_path: Path) -> Path:
    return compile_c(tmp_path, "enters", ENTERS)


@pytest.fixture
def named() -> Iterator[list[tuple[Path, tuple[str, ...]]]]:
    """A cgroup for each name that an engine writes, and each that only looks like one, with the containers of it."""
    rows = [(path, found) for _, path, found in CONTAINERS] + [(path, ()) for _, path in NO_CONTAINERS]
    with ExitStack() as stack:
        yield [(stack.enter_context(cgroup(f"{RUN}{path}".rstrip("/"))), found) for path, found in rows]


def test_the_container_of_every_engine_is_told_by_the_cgroup_that_a_program_runs_in(
    enters: Path, named: list[tuple[Path, tuple[str, ...]]]
) -> None:
    with Stream("--cgroup", f"/{RUN}", probes="execs") as stream:
        subprocess.run([enters, "names", *(folder for folder, _ in named)], check=True)
        lines = stream.stop()
    told = {line["argv"][1]: line["container"] for line in of("exec", lines, comm="true")}
    assert len(told) == len(named) > 80
    for number, (folder, containers) in enumerate(named):
        right = containers[-1] if containers else None
        shown = right[:12] if right and len(right) == 64 else right
        assert told[str(number)] == shown, folder


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.parametrize("v1", KINDS)
def test_a_filter_follows_a_cgroup_that_is_made_again_as_fast_as_can_be(enters: Path, v1: bool) -> None:
    with cgroup(f"{RUN}-again", v1=v1) as parent:
        inside = parent / "inside"
        inside.mkdir()
        with Stream("--cgroup", f"/{RUN}-again/inside", probes="execs,users") as stream:
            inside.rmdir()
            subprocess.run([enters, "again", inside, "50"], check=True)
            lines = stream.stop()
    assert [line["argv"][1] for line in of("exec", lines, comm="true")] == [str(number) for number in range(50)]
    assert sum(row["execs"] for row in last("users", lines)["rows"]) == 50


@pytest.mark.skipif(len(hierarchies()) < 2, reason="only one hierarchy is mounted")
def test_a_filter_does_not_take_a_cgroup_of_the_same_path_in_the_other_hierarchy(enters: Path) -> None:
    with cgroup(f"{RUN}-twin") as wanted, Stream("--cgroup", f"/{RUN}-twin", probes="execs") as stream:
        with cgroup(f"{RUN}-twin", v1=True) as other:
            subprocess.run([enters, "names", other], check=True)
            subprocess.run([enters, "names", other, wanted], check=True)
        lines = stream.stop()
    assert [line["argv"][1] for line in of("exec", lines, comm="true")] == ["1"]


@contextmanager
def followed() -> Iterator[tuple[KernelFilter, Path]]:
    """A filter by a cgroup, and the cgroup."""
    with cgroup(f"{RUN}-written") as parent:
        inside = parent / "inside"
        inside.mkdir()
        source = KernelSource(Options(probes=("execs",), filter=Filter(cgroups=(f"/{RUN}-written/inside",))))
        try:
            yield source._filter, inside
        finally:
            source.close()
            inside.rmdir()


def make_again(cgroup: Path) -> int:
    cgroup.rmdir()
    cgroup.mkdir()
    return cgroup.stat().st_ino


def test_an_id_that_is_older_than_the_kernels_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cgroup may be made again between any two steps of a reading, and the kernel writes the new id at once."""
    with followed() as (kernel_filter, inside):
        writes: list[bool] = []
        monkeypatch.setattr(kernel_filter, "_write_config", lambda **_: writes.append(True))
        for _ in range(3):
            make_again(inside)
            assert kernel_filter.refresh() == ()
        monkeypatch.setattr(filter_maps, "id_of", lambda *_: make_again(inside))
        for _ in range(3):
            assert kernel_filter.refresh() == ()
        assert writes == []
        assert kernel_filter._ids_in_kernel() == [inside.stat().st_ino]


def test_a_cgroup_that_is_made_again_while_a_filter_is_applied_is_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    with followed() as (kernel_filter, inside):
        write = kernel_filter._write_config
        writes: list[bool] = []

        def make_again_and_write(*, hide_self_only: bool) -> None:
            if len(writes) < 4:
                make_again(inside)
            writes.append(True)
            write(hide_self_only=hide_self_only)

        monkeypatch.setattr(kernel_filter, "_write_config", make_again_and_write)
        kernel_filter.apply(replace(kernel_filter._filter, uids=(0,)))
        assert kernel_filter._ids_in_kernel() == [inside.stat().st_ino]
        assert len(writes) > 4


def test_an_id_that_the_kernel_missed_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with followed() as (kernel_filter, inside):
        link = kernel_filter._mkdir
        assert link is not None
        kernel_filter._module.release(link)
        id = make_again(inside)
        kernel_filter.refresh()
        assert kernel_filter._ids_in_kernel() != [id]
        kernel_filter.refresh()
        assert kernel_filter._ids_in_kernel() == [id]
        kernel_filter._mkdir = None
