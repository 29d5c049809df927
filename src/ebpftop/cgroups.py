"""What a cgroup path says: the container or the systemd unit that a process belongs to."""

from __future__ import annotations

import re
from functools import lru_cache

# A container's id as the engines write it into the last component that has one: docker-<id>.scope, crio-<id>.scope,
# cri-containerd-<id>.scope, libpod-<id>.scope, or the bare 64 hexadecimal digits of cgroup v1.
_ENGINE_ID = re.compile(r"(?:^|[-:/])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_LXC = re.compile(r"/lxc(?:\.payload)?[./]([^/]+)")
_NSPAWN = re.compile(r"/machine\.slice/(?:machine-|systemd-nspawn@)([^/]+)\.(?:scope|service)")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap)(?=/|$)")
_SHOWN_DIGITS = 12


@lru_cache(maxsize=4096)
def container_of(path: str, digits: int | None = _SHOWN_DIGITS) -> str | None:
    """Return the container of cgroup *path*: the first *digits* of an engine's id, or an LXC or nspawn name."""
    found = _ENGINE_ID.findall(path)
    if found:
        return str(found[-1])[:digits]
    named = _LXC.search(path) or _NSPAWN.search(path)
    return named[1] if named else None


@lru_cache(maxsize=4096)
def unit_of(path: str) -> str | None:
    """Return the innermost systemd unit of cgroup *path* ("ssh.service", "session-3.scope"), None outside of any."""
    found = _UNIT.findall(path)
    return found[-1] if found else None
