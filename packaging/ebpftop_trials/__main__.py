"""Try the packages that were made, each in fresh systems, and report how it went."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ebpftop_trials.system import RELEASES, TrialError, fresh_system
from ebpftop_trials.trials import TRIALS

RPM_RELEASES = ("trixie",)
"""Where the .rpm is tried: a release that has rpm and dnf."""


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="script/release-test", description="Try packages in fresh systems.")
    parser.add_argument(
        *("--only", "-o"),
        nargs=2,
        action="append",
        metavar=("KIND", "RELEASE"),
        help=f"only that trial: {', '.join(TRIALS)}; {', '.join(RELEASES)}; repeatable",
    )
    parser.add_argument("--from", dest="packages", type=Path, required=True, metavar="FOLDER", help="the packages")
    parser.add_argument("--cache", type=Path, required=True, metavar="FOLDER", help="keeps untouched systems")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", metavar="URL", help="of Debian")
    args = parser.parse_args()
    for kind, release in args.only or ():
        if kind not in TRIALS or release not in RELEASES:
            parser.error(f"--only {kind} {release}: there is no such trial")
    return args


def wanted(only: list[list[str]] | None) -> Iterator[tuple[str, str]]:
    """Yield kind and release of each trial."""
    for release in RELEASES:
        for kind in TRIALS:
            if [kind, release] in only if only else kind != "rpm" or release in RPM_RELEASES:
                yield kind, release


def main() -> int:
    """Run the trials one after the other; return how many failed, at most 1."""
    args = arguments()
    os.umask(0o022)
    args.cache.mkdir(parents=True, exist_ok=True)
    failed = []
    done = 0
    for kind, release in wanted(args.only):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ebpftop-trial-", ignore_cleanup_errors=True) as name:
            try:
                system = fresh_system(release, Path(name), args.cache.resolve(), args.mirror, args.packages.resolve())
                TRIALS[kind](system)
                said = "passed"
                done += 1
            except TrialError as error:
                said = f"FAILED: {error}"
                failed.append(f"{kind} {release}")
            shutil.rmtree(Path(name) / release, ignore_errors=True)
        print(f"{kind:5} {release:8} {time.monotonic() - begin:4.0f} s  {said}", flush=True)
    print(f"{done} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return int(bool(failed) or not done)


if __name__ == "__main__":
    sys.exit(main())
