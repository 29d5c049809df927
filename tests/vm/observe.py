"""Run `ebpftop stream` for the length of one workload, and keep what it said."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ebpftop.core.records import Probe, ProbeName, Record
from ebpftop.probes.registry import decode
from ebpftop.recording.readings import ReadingDecoder

from .faults import fault_of
from .results import ladder_and_option
from .workload import Done, work

EBPFTOP = (sys.executable, "-m", "ebpftop")
INTERVAL_S = 0.5
# Four probes are compiled, under emulation, beside another guest that does the same and all tests of this machine.
ATTACH_TIMEOUT_S = 600.0
ARRIVAL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class OptionReported:
    """An option as a probe's record tells it; `reason` says why it is not in use, null for the one that is."""

    ladder: str
    via: str
    reason: str | None


@dataclass(slots=True)
class Seen:
    """What one stream said, what was done while it ran (None: no probe came up), and how it ended."""

    records: list[Record] = field(default_factory=list)
    probes: dict[ProbeName, Probe] = field(default_factory=dict)
    done: Done | None = None
    status: int | None = None
    stderr: str = ""

    def options(self) -> Iterator[OptionReported]:
        """All options of all ladders, as `--attach` names them: "failures: fexit:x" belongs to a part of its probe."""
        for name, probe in self.probes.items():
            for option in probe.attempts:
                yield OptionReported(*ladder_and_option(name, option.via), option.reason)

    def in_use(self) -> dict[str, str]:
        """The attach option that each ladder stands on."""
        return {option.ladder: option.via for option in self.options() if option.reason is None}

    def fault_of(self, ladder: str) -> str | None:
        """Say what *ladder* told wrongly, or why it told nothing; None where it told exactly what was done."""
        name = ladder.partition(".")[0]
        probe = next((p for p in self.probes.values() if p.probe == name), None)
        if probe is None:
            return f"nothing was told; it ended with {self.status}: {self.stderr[-2000:]}"
        option = self.in_use().get(ladder)
        if probe.state != "on" or option is None:
            reasons = [f"{told.via}: {told.reason}" for told in self.options() if told.ladder == ladder]
            return probe.reason or "; ".join(reasons)
        if self.done is None:
            return f"it came up, but another probe said nothing in {ATTACH_TIMEOUT_S:.0f} s"
        return fault_of(ladder, option, self.records, self.done)


def observe(probes: Sequence[ProbeName], arguments: Sequence[str], prefix: Sequence[str] = ()) -> Seen:
    """Run a stream of *probes*; work once each is on or failed; stop it when all of the work has arrived.

    *prefix* is a command that runs ebpftop, such as one that hides something from it.
    """
    seen = Seen()
    stream = [*EBPFTOP, "stream", "--probes", ",".join(probes), "--interval", str(INTERVAL_S)]
    with tempfile.NamedTemporaryFile() as out, tempfile.TemporaryFile() as err:
        reader = _Reader(Path(out.name), seen)
        with subprocess.Popen(
            [*prefix, *stream, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err
        ) as process:
            try:
                _wait(lambda: _settled(seen, probes), process, reader, ATTACH_TIMEOUT_S)
                if any(probe.state == "on" for probe in seen.probes.values()):
                    seen.done = work()
                    _wait(lambda: not any(map(seen.fault_of, seen.in_use())), process, reader, ARRIVAL_TIMEOUT_S)
            finally:
                process.send_signal(signal.SIGTERM)
        reader.read()
        seen.status = process.returncode
        err.seek(0)
        seen.stderr = err.read().decode("utf-8", "replace")
    return seen


def _settled(seen: Seen, probes: Sequence[ProbeName]) -> bool:
    """True once every one of *probes* has said that it is on, or that it cannot be."""
    return all(name in seen.probes and seen.probes[name].state != "off" for name in probes)


class _Reader:
    """Follows the file that a stream writes to."""

    def __init__(self, path: Path, seen: Seen) -> None:
        self._path = path
        self._seen = seen
        self._offset = 0
        self._readings = ReadingDecoder()

    def read(self) -> None:
        """Take in the lines that were finished since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            record = self._readings.whole(decode(line))
            if record is None:
                continue
            self._seen.records.append(record)
            if isinstance(record, Probe):
                self._seen.probes[record.probe] = record


def _wait(holds: Callable[[], bool], process: subprocess.Popen[bytes], reader: _Reader, timeout_s: float) -> None:
    """Read until *holds* is true, the stream has ended, or *timeout_s* have passed."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and process.poll() is None:
        reader.read()
        if holds():
            return
        time.sleep(0.1)
