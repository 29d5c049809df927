"""What a cgroup path shows: the containers or the systemd unit that a process belongs to.

Container engines do not report which cgroups they own, so only the names are left. tests/unit/test_cgroup_path.py has a
row for each name that an engine writes, with its source, and for each name that only looks like one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ebpftop.core.escape import escape, printable

# An engine's id, behind the engine's name (docker-<id>.scope, crio-<id>, libpod-payload-<id>, ..:cri-containerd:<id>)
# or bare, as cgroupfs drivers write it. conmon watches a container from outside.
_ENGINE_ID = re.compile(r"(?:(?P<engine>.*)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_WATCHER = "conmon"
# The parent of podman's containers without systemd. A bare id there is the id of a pod.
_PODMAN_PARENT = "libpod_parent"
# ECS on Fargate: the id of the task and a number.
_ECS_ID = re.compile(r"[0-9a-f]{32}-\d+")
# The name that runc and runsc give a scope if the user gave none.
_BARE_RUNTIME = re.compile(r"(?:runc|runsc)-(?P<name>.+)\.scope")
_BUILD_STEP = re.compile(r"[0-9a-z]{25}")
_NSPAWN = re.compile(r"systemd-nspawn@(?P<service>.+)\.service|machine-(?P<scope>.+)\.scope")
# libvirt registers virtual machines where containers are registered.
_VIRTUAL_MACHINE = re.compile(r"(?:qemu|ch|xen)-\d+-")
_LXC_PAYLOAD = "lxc.payload"
_LXC_PARENTS = ("lxc", _LXC_PAYLOAD)
# Directly below the cgroup of a container: the processes that run it, not those that run in it.
_SUPERVISORS = ("supervisor", "lxc.monitor")
_SYSTEMD_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
# Matches from the start of a component only: tried at each character, a long one would take the square of its length.
_UNIT = re.compile(r"(?:^|/)([^/]+\.(?:service|scope|socket|mount|swap))(?=/|$)")
_SHOWN_DIGITS = 12
_SHORTEST_ID = 2


@lru_cache(maxsize=4096)
def containers_of(path: str) -> tuple[str, ...]:
    """Return the containers that cgroup *path* lies in, the outermost first: whole ids, or names."""
    found: list[str] = []
    above, inside = "", False  # inside: the component above is the own cgroup of a container
    for component in path.split("/"):
        if inside and component in _SUPERVISORS:
            found.pop()
            break
        name = None if inside and above == _LXC_PAYLOAD else _container(component, above)
        if name is not None:
            found.append(name)
        # "lxc/NAME/lxc.payload" is still the container NAME, so the component below it is not another container.
        inside = name is not None or (inside and component == _LXC_PAYLOAD)
        above = component
    return tuple(found)


def _container(component: str, above: str) -> str | None:
    """Return the container whose own cgroup *component* is, in the cgroup *above*."""
    if match := _ENGINE_ID.fullmatch(component):
        engine = match["engine"]
        of_pod = engine is None and above == _PODMAN_PARENT
        return None if of_pod or (engine or "").endswith(_WATCHER) else match["id"]
    if _ECS_ID.fullmatch(component):
        return component
    if component.startswith(f"{_LXC_PAYLOAD}."):
        return component.removeprefix(f"{_LXC_PAYLOAD}.") or None
    if above in _LXC_PARENTS and not component.startswith("lxc."):
        return component
    if above == "buildkit" and _BUILD_STEP.fullmatch(component):
        return component
    if match := _BARE_RUNTIME.fullmatch(component):
        return match["name"]
    if match := _NSPAWN.fullmatch(component):
        name = _SYSTEMD_ESCAPE.sub(lambda code: chr(int(code[1], 16)), match["service"] or match["scope"])
        return None if _VIRTUAL_MACHINE.match(name) else escape(name)
    return None


@lru_cache(maxsize=4096)
def container_of(path: str) -> str | None:
    """Return the innermost container of cgroup *path*: the first 12 digits of an engine's id, or a name."""
    found = containers_of(path)
    if not found:
        return None
    return found[-1][:_SHOWN_DIGITS] if _ENGINE_ID.fullmatch(found[-1]) else found[-1]


def is_container(given: str, name: str) -> bool:
    """Return whether *given* is the container *name*: its id, a prefix of the id, or its name. Both may be escaped."""
    given = printable(given)
    is_id = bool(_ENGINE_ID.fullmatch(name) or _ECS_ID.fullmatch(name))
    return name == given or (is_id and len(given) >= _SHORTEST_ID and name.startswith(given))


@lru_cache(maxsize=4096)
def unit_of(path: str) -> str | None:
    """Return the innermost systemd unit of cgroup *path* ("ssh.service", "session-3.scope"), None outside of any."""
    found = _UNIT.findall(path)
    return found[-1] if found else None
