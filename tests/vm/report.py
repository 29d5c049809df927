"""docs/kernels.md, from what a run found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from .conditions import BARE, CONDITIONS, WITH_HEADERS
from .faults import LADDERS
from .results import CheckReport, Result, Trial

_WITH_BTF = (BARE, WITH_HEADERS)
_HEAD = """\
# Kernels

Written by `sudo script/test --vm` from what it saw; do not edit. Debian's cloud kernels under QEMU, everything
compared to the event with what a workload did: programs started and failed, calls, errors, timers, greetings.

"yes" means that ebpftop reported exactly what was done by the attach option that `--attach` asked for; **bold** is what
the ladder takes by itself. `ebpftop check` says the same of each attach option, which is tested.
"""
_UNSEEN = """
## What cannot be seen

By the options that ladders take by themselves, as `ebpftop check` says there ([limits.md](limits.md) says it of all).
"""
_CONDITIONS = """
## Headers and BTF

What is hidden from ebpftop, headers or BTF, is out of its sight only; the kernel is the same. In the table above the
headers are hidden for the most part.
"""


def write(path: Path, results: Sequence[Result], checks: Sequence[CheckReport]) -> None:
    """Write the page to *path*; *checks* are of the same kernels."""
    path.write_text("".join(f"{line}\n" for line in _lines(results, checks)))


def _lines(results: Sequence[Result], checks: Sequence[CheckReport]) -> Iterable[str]:
    kernels = [result.release.replace("-cloud-amd64", "").replace("-cloud-", " ") for result in results]
    yield _HEAD
    yield from _row("ladder", "attach option", *kernels)
    yield from _row("---", "---", *("---" for _ in kernels))
    for ladder in LADDERS:
        for option in _options(ladder, results):
            yield from _row(ladder, f"`{option}`", *(_option_cell(result, ladder, option) for result in results))
    yield _UNSEEN
    not_seen = [check.not_seen() for check in checks]
    yield from _row("", *kernels)
    yield from _row("---", *("---" for _ in kernels))
    for one in dict.fromkeys(one for some in not_seen for one in some):
        yield from _row(one, *("not seen" if one in some else "seen" for some in not_seen))
    yield _CONDITIONS
    yield from _row("", *kernels)
    yield from _row("---", *("---" for _ in kernels))
    for condition in CONDITIONS:
        if not any(t.condition == condition for r in results for t in r.trials):
            continue
        yield from _row(condition, *(_cell(t for t in r.trials if t.condition == condition) for r in results))
    yield ""
    yield f"Buffers: {', '.join(_buffers(results))}."


def _options(ladder: str, results: Sequence[Result]) -> Iterable[str]:
    options = (t.option for r in results for t in r.trials if t.ladder == ladder and t.option != "-")
    return dict.fromkeys(options)


def _option_cell(result: Result, ladder: str, option: str) -> str:
    trials = [t for t in result.trials if (t.ladder, t.option) == (ladder, option)]
    # Where headers alone are of no use, the attach option was tried again with BTF.
    cell = _cell([t for t in trials if t.condition in _WITH_BTF] or trials)
    return f"**{cell}**" if result.chosen.get(ladder) == option else cell


def _cell(trials: Iterable[Trial]) -> str:
    """One cell: yes, how many of the trials, or every reason why none."""
    tried = list(trials)
    if not tried:
        return "not there"
    if 0 < (works := sum(trial.works for trial in tried)) < len(tried):
        return f"{works} of {len(tried)} trials"
    reasons = dict.fromkeys(_gist(trial.detail) for trial in tried if trial.detail)
    return "no: " + "; ".join(reasons).replace("|", "\\|") if reasons else "yes"


def _gist(detail: str) -> str:
    """The last line of *detail*, without the options that were only passed over because another was asked for."""
    told = re.sub(r"^nothing was told; it ended with \d+: (ebpftop: )?", "", detail.strip().splitlines()[-1])
    parts = told.split("; ")
    return "; ".join(part for part in parts if "--attach asked for" not in part)


def _buffers(results: Sequence[Result]) -> Iterable[str]:
    for buffer in ("ring", "perf"):
        trials = [t for r in results for t in r.trials if t.buffer == buffer and t.condition in _WITH_BTF]
        works = sum(trial.works for trial in trials)
        yield f"{works} of {len(trials)} trials right through the {buffer} buffer"


def _row(*cells: str) -> Iterable[str]:
    yield f"| {' | '.join(cells)} |"
