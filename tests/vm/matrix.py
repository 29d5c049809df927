"""Inside a guest: try every option of every ladder, with both buffers, with and without headers and BTF.

PYTHONPATH=tests python -m vm.matrix RESULT.json [--no-check] [--no-headers-alone]
PYTHONPATH=tests python -m vm.matrix --check CHECKED.json    only what is compared with it
"""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from ebpftop.probes.registry import registry

from .conditions import BARE, HEADERS_ONLY, NEITHER, WITH_HEADERS, possible, prefix
from .faults import FOLLOWERS, LADDERS
from .observe import EBPFTOP, Seen, observe
from .results import Checked, Condition, Result, Trial, save

CHECK_TIMEOUT_S = 240.0
# Buffers and conditions of the rounds in which options are forced. For the first one all programs are compiled, for the
# last one a few; that takes longer than all else. The first one has no BTF: options that need it are tried later.
_NEED_BTF = ("fentry", "fexit")
_ROUNDS: Sequence[tuple[str, Condition]] = (
    ("perf", HEADERS_ONLY),
    ("ring", BARE),
    ("ring", BARE),
    ("ring", WITH_HEADERS),
)


def trials(chosen: dict[str, str], conditions: Collection[Condition]) -> Iterator[Trial]:
    """Try everything under *conditions*; *chosen* is filled with the attach option that each ladder takes by itself."""
    left_alone = _observe(BARE, "ring")
    chosen.update(left_alone.in_use())
    yield from _judge(left_alone, dict.fromkeys(LADDERS), "ring", BARE)

    # Then every option by force, also the one taken by itself: one of each ladder at a time, through either buffer by
    # turns. One round has nothing but headers, one has them too.
    options: dict[str, list[str]] = {}
    for option in left_alone.options():
        if option.ladder not in FOLLOWERS:
            options.setdefault(option.ladder, [])
            if option.via != chosen.get(option.ladder):
                options[option.ladder].append(option.via)
    for ladder, vias in options.items():
        if ladder in chosen:
            vias.append(chosen[ladder])
        vias.sort(key=lambda via: via.startswith(_NEED_BTF))
        if vias and vias[0].startswith(_NEED_BTF):
            vias.insert(0, "")
    for (buffer, condition), wanted in zip(_ROUNDS, itertools.zip_longest(*options.values()), strict=False):
        via = {ladder: option for ladder, option in zip(options, wanted, strict=True) if option}
        tried = {ladder: via.get(ladder) for ladder in LADDERS if _probe(ladder) in map(_probe, via)}
        seen = _observe(condition, buffer, via) if condition in conditions else None
        if seen is not None:
            yield from _judge(seen, tried, buffer, condition)
        if seen is None or not seen.probes:  # it ended before it had any; the attach options still have to be tried
            yield from _judge(_observe(BARE, buffer, via), tried, buffer, BARE)

    yield from _judge(_observe(NEITHER, "perf"), dict.fromkeys(LADDERS), "perf", NEITHER)


def check() -> Checked:
    """Ask `ebpftop check`, with nothing hidden from it."""
    command = (*EBPFTOP, "check", "--json")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_S
    )
    return Checked(status=done.returncode, said=done.stdout, stderr=done.stderr[-2000:])


def _observe(condition: Condition, buffer: str, via: Mapping[str, str] = MappingProxyType({})) -> Seen:
    forced = itertools.chain.from_iterable(("--attach", f"{ladder}={option}") for ladder, option in via.items())
    wanted = set(map(_probe, via or LADDERS))
    return observe(
        [name for name in registry().names if name in wanted], ["--buffer", buffer, *forced], prefix=prefix(condition)
    )


def _probe(ladder: str) -> str:
    return ladder.partition(".")[0]


def _judge(seen: Seen, wanted: Mapping[str, str | None], buffer: str, condition: Condition) -> Iterator[Trial]:
    in_use = seen.in_use()
    for ladder, option in wanted.items():
        stands_on = in_use.get(ladder)
        detail = seen.fault_of(ladder)
        if detail is None and option not in (None, stands_on):
            detail = f"--attach asked for {option}, taken was {stands_on}"
        if detail is None and seen.status != 0:
            detail = f"the stream ended with {seen.status}: {seen.stderr[-2000:]}"
        yield Trial(
            ladder=ladder,
            option=option or stands_on or "-",
            forced=wanted[FOLLOWERS.get(ladder, ladder)] is not None,
            buffer=buffer,
            condition=condition,
            detail=detail,
        )


def main(arguments: list[str]) -> int:
    """Write the result to the file named; the status tells whether everything was tried, not whether it worked."""
    if arguments[0] == "--check":
        Path(arguments[1]).write_bytes(msgspec.json.encode(check()))
        return 0
    begin = time.monotonic()
    chosen: dict[str, str] = {}
    tried: list[Trial] = []
    conditions = set(possible())
    if "--no-headers-alone" in arguments:
        conditions.discard(HEADERS_ONLY)
    for trial in trials(chosen, conditions):
        tried.append(trial)
        print(f"{time.monotonic() - begin:6.1f} s  {shlex.join(_words(trial))}", flush=True)  # noqa: T201 (the log)
    checked = None if "--no-check" in arguments else check()
    save(
        Result(
            release=os.uname().release,
            chosen=chosen,
            trials=tried,
            check=checked,
            seconds=time.monotonic() - begin,
        ),
        Path(arguments[0]),
    )
    return 0


def _words(trial: Trial) -> tuple[str, ...]:
    outcome = "works" if trial.works else f"FAULT {trial.detail}"
    return trial.condition, trial.buffer, trial.ladder, trial.option, outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
