"""The environments of programs: their names, and how each differs from its parent's. No value is kept.

Of a value only a hash stays, of Python's own kind, whose key is new in each process: enough to see that it changed.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

from ebpftop.core.escape import escape
from ebpftop.core.process_records import TICK_NS, EnvDifference
from ebpftop.core.shared import ENVIRONMENTS
from ebpftop.probes.procfs import start_of

_PROCESSES_MAX = 200_000
_NAMES_MAX = 300_000
"""Of all processes together. A name takes some 90 bytes with what belongs to it: any user may choose thousands."""
_PARSED_MAX = 1024
_CACHED_NAMES = 500
"""An environment of more names is parsed and compared each time: it would take too much of a cache."""
_BYTES_MAX = 128 << 10


class Environment(NamedTuple):
    """The names, in their order and each once, and what its value was, as a hash."""

    names: tuple[str, ...]
    hashes: tuple[int, ...]


class Environments:
    """Those that the programs of the processes that run were started with."""

    def __init__(self, names_max: int = _NAMES_MAX) -> None:
        """Of more than *names_max* names, those of the processes that started first are dropped."""
        # By pid: the start of the process, and its program's environment; None if that is not known.
        self._started: OrderedDict[int, tuple[int, Environment | None]] = OrderedDict()
        self._names = 0
        self._names_max = names_max
        # What was parsed before, by a hash of it: what runs in a loop, or at a prompt, mostly has the same one.
        self._parsed: dict[tuple[int, int], Environment] = {}

    def of_exec(self, raw: bytes) -> Environment:
        """Return what is in *raw*, strings that each end with a NUL."""
        key = hash(raw), len(raw)
        found = self._parsed.get(key)
        if found is None:
            names, hashes = environment_in(raw)
            found = Environment(ENVIRONMENTS[names], hashes)
            if len(names) <= _CACHED_NAMES:
                if len(self._parsed) >= _PARSED_MAX:
                    self._parsed.clear()
                self._parsed[key] = found
        return found

    def started(self, pid: int, start_ns: int, environment: Environment | None) -> None:
        """Note that a process started a program; None: not all of its environment is known."""
        self._forget(pid)
        self._started[pid] = start_ns // TICK_NS, environment
        self._names += len(environment.names) if environment is not None else 0
        while len(self._started) > _PROCESSES_MAX or self._names > self._names_max:
            # Should one of its children start a program, what /proc says will do.
            self._forget(next(iter(self._started)))

    def ended(self, pid: int, start_ns: int) -> None:
        """Note that a process ended."""
        known = self._started.get(pid)
        if known is not None and known[0] == start_ns // TICK_NS:
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        _, environment = self._started.pop(pid, (0, None))
        self._names -= len(environment.names) if environment is not None else 0

    def of_process(self, pid: int, start_ns: int) -> Environment | None:
        """Return the environment that the program of a process was started with; None if that is not known."""
        tick = start_ns // TICK_NS
        known = self._started.get(pid)
        if known is not None and known[0] == tick:
            return known[1]
        environment = self._of_running(pid, tick)
        self.started(pid, start_ns, environment)
        return environment

    def _of_running(self, pid: int, tick: int) -> Environment | None:
        """Return the environment of a process whose exec was not seen."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                raw = file.read(_BYTES_MAX)
        except OSError:  # it is another user's, or it has ended
            return None
        # The pid may be another's by now.
        return self.of_exec(raw) if len(raw) < _BYTES_MAX and start_of(pid) == tick else None


def environment_in(raw: bytes) -> Environment:
    r"""Return what is in *raw*; what has no name, or is cut off, is left out.

    >>> environment_in(b"LANG=C\0=x\0no\0A=\0LANG=d\0PATH=/b").names
    ('LANG', 'A')
    """
    found: dict[str, int] = {}
    for string in raw.split(b"\0")[:-1]:
        name, is_variable, value = string.partition(b"=")
        if name and is_variable:
            found.setdefault(_name(name), hash(value))  # as getenv(3): the first one
    return Environment(tuple(found), tuple(found.values()))


@lru_cache(4096)
def _name(raw: bytes) -> str:
    return escape(raw)


_SAME = EnvDifference(new=(), changed=(), gone=())


def difference(own: Environment, parents: Environment) -> EnvDifference:
    r"""Return what is new, changed and gone in a program's environment, against its parent's.

    >>> difference(environment_in(b"A=1\0B=2\0"), environment_in(b"B=1\0C=\0"))
    EnvDifference(new=('A',), changed=('B',), gone=('C',))
    """
    if own is parents:
        return _SAME
    if len(own.names) + len(parents.names) > 2 * _CACHED_NAMES:
        return _difference(own, parents)
    return _known_difference(own, parents)


def _difference(own: Environment, parents: Environment) -> EnvDifference:
    before = dict(zip(parents.names, parents.hashes, strict=True))
    after = dict(zip(own.names, own.hashes, strict=True))
    return EnvDifference(
        new=tuple(name for name in after if name not in before),
        changed=tuple(name for name, value in after.items() if before.get(name, value) != value),
        gone=tuple(name for name in before if name not in after),
    )


_known_difference = lru_cache(1024)(_difference)
