"""Inside a guest: try every rung of every ladder, with both buffers, with and without headers and BTF.

PYTHONPATH=tests python -m vm.matrix RESULT.json
"""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from ebpftop.records import PROBE_NAMES

from .faults import LADDERS
from .observe import Seen, observe
from .results import Condition, Result, Trial, save

_NO_HEADERS = ("mount -t tmpfs none /lib/modules", "mount -t tmpfs none /usr/src")
_NO_BTF = ("mount -t tmpfs none /sys/kernel/btf",)
# What is hidden from ebpftop, in a mount namespace of its own.
CONDITIONS: Mapping[Condition, tuple[str, ...]] = MappingProxyType(
    {
        "BTF, no headers": _NO_HEADERS,
        "BTF and headers": (),
        "headers, no BTF": _NO_BTF,
        "neither": (*_NO_HEADERS, *_NO_BTF),
    }
)
BARE: Condition = "BTF, no headers"
WITH_HEADERS: Condition = "BTF and headers"


def trials(chosen: dict[str, str]) -> Iterator[Trial]:
    """Try everything; *chosen* is filled with the rung that each ladder takes by itself."""
    left_alone = _observe(BARE, "ring")
    chosen.update(left_alone.in_use())
    yield from _judge(left_alone, dict.fromkeys(LADDERS), "ring", BARE)

    # Then every other rung: one of each ladder at a time, through either buffer by turns. The first of these rounds has
    # all probes, so it also shows that installed headers do no harm.
    others: dict[str, list[str]] = {}
    for rung in left_alone.rungs():
        if rung.via != chosen.get(rung.ladder):
            others.setdefault(rung.ladder, []).append(rung.via)
    rounds = itertools.chain([("perf", WITH_HEADERS)], itertools.cycle((("ring", BARE), ("perf", BARE))))
    for (buffer, condition), wanted in zip(rounds, itertools.zip_longest(*others.values()), strict=False):
        via = {ladder: rung for ladder, rung in zip(others, wanted, strict=True) if rung is not None}
        tried = {ladder: via.get(ladder) for ladder in LADDERS if _probe(ladder) in map(_probe, via)}
        yield from _judge(_observe(condition, buffer, via), tried, buffer, condition)

    for condition in CONDITIONS:
        if condition not in (BARE, WITH_HEADERS):
            yield from _judge(_observe(condition, "perf"), dict.fromkeys(LADDERS), "perf", condition)


def _observe(condition: Condition, buffer: str, via: Mapping[str, str] = MappingProxyType({})) -> Seen:
    hide = "; ".join((*CONDITIONS[condition], 'exec "$@"'))
    forced = itertools.chain.from_iterable(("--via", f"{ladder}={rung}") for ladder, rung in via.items())
    wanted = set(map(_probe, via or LADDERS))
    return observe(
        [name for name in PROBE_NAMES if name in wanted],
        ["--buffer", buffer, *forced],
        prefix=("unshare", "--mount", "sh", "-euc", hide, "sh"),
    )


def _probe(ladder: str) -> str:
    return ladder.partition(".")[0]


def _judge(seen: Seen, wanted: Mapping[str, str | None], buffer: str, condition: Condition) -> Iterator[Trial]:
    in_use = seen.in_use()
    for ladder, rung in wanted.items():
        stands_on = in_use.get(ladder)
        detail = seen.fault_of(ladder)
        if detail is None and rung not in (None, stands_on):
            detail = f"--via asked for {rung}, taken was {stands_on}"
        if detail is None and seen.status != 0:
            detail = f"the stream ended with {seen.status}: {seen.stderr[-2000:]}"
        yield Trial(
            ladder=ladder,
            rung=rung or stands_on or "-",
            forced=rung is not None,
            buffer=buffer,
            condition=condition,
            detail=detail,
        )


def main(arguments: list[str]) -> int:
    """Write the result to the file named; the status tells whether everything was tried, not whether it worked."""
    begin = time.monotonic()
    chosen: dict[str, str] = {}
    tried: list[Trial] = []
    for trial in trials(chosen):
        tried.append(trial)
        print(f"{time.monotonic() - begin:6.1f} s  {shlex.join(_words(trial))}", flush=True)  # noqa: T201 (the log)
    save(
        Result(release=os.uname().release, chosen=chosen, trials=tried, seconds=time.monotonic() - begin),
        Path(arguments[0]),
    )
    return 0


def _words(trial: Trial) -> tuple[str, ...]:
    outcome = "works" if trial.works else f"FAULT {trial.detail}"
    return trial.condition, trial.buffer, trial.ladder, trial.rung, outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
