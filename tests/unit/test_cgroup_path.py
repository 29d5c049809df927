"""Which container a cgroup is of: every name that an engine writes, and those that only look like one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ebpftop.core.cgroup_path import container_of, containers_of, is_container, unit_of
from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.kernel import cgroups
from ebpftop.kernel.cgroups import CgroupChoice, Hierarchy, container_cgroups
from ebpftop.models.filter_match import in_container

ID = "8f3a0c11d2e4" + "5b" * 26
POD = "0bacbe10921c" + "4d" * 26
UID = "1c5d0bde-130b-4784-a547-f45e619f2514"
UID_ = UID.replace("-", "_")
STATIC_UID = "3d6beaa3004913efb68ce073d73494b0"
TASK = "8cd79a803caf4d2aa945152e934a5c00"
USER = "/user.slice/user-1000.slice/user@1000.service"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice"
KIND_PODS = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
KIND = f"{KIND_PODS}/kubelet-kubepods-besteffort-pod{UID_}.slice"
BUILD = "n4eu0udvbz9vfzjy71jkvgkwh"

# Where the name comes from, the path, and the containers that it lies in, the outermost first.
CONTAINERS: list[tuple[str, str, tuple[str, ...]]] = [
    ("moby daemon/oci_linux.go: withCgroups, cgroupfs (v1, v2)", f"/docker/{ID}", (ID,)),
    ("moby daemon/oci_linux.go: withCgroups, systemd", f"/system.slice/docker-{ID}.scope", (ID,)),
    ("docker run --cgroup-parent=/jobs", f"/jobs/{ID}", (ID,)),
    ("docker run --cgroup-parent=jobs.slice", f"/jobs.slice/docker-{ID}.scope", (ID,)),
    ("docs.docker.com, rootless mode", f"{USER}/user.slice/docker-{ID}.scope", (ID,)),
    ("docker-library dind: processes moved into init", f"/docker/{ID}/init", (ID,)),
    ("docker in docker", f"/docker/{ID}/docker/{POD}", (ID, POD)),
    ("moby buildkit executor: a step of a build", f"/docker/buildkit/{BUILD}", (BUILD,)),
    ("podman libpod: systemd", f"/machine.slice/libpod-{ID}.scope", (ID,)),
    ("crun: a cgroup below the scope", f"/machine.slice/libpod-{ID}.scope/container", (ID,)),
    ("podman, rootless", f"{USER}/user.slice/libpod-{ID}.scope/container", (ID,)),
    ("podman pod, systemd", f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-{ID}.scope", (ID,)),
    ("podman pod, rootless", f"{USER}/user.slice/user-libpod_pod_{POD}.slice/libpod-{ID}.scope", (ID,)),
    ("podman libpod: cgroupfs", f"/libpod_parent/libpod-{ID}", (ID,)),
    ("podman pod, cgroupfs", f"/libpod_parent/{POD}/libpod-{ID}", (ID,)),
    ("podman run --cgroups=split, quadlet", f"/system.slice/web.service/libpod-payload-{ID}/container", (ID,)),
    ("nerdctl: cgroupfs, namespace default", f"/default/{ID}", (ID,)),
    ("nerdctl: systemd", f"/system.slice/nerdctl-{ID}.scope", (ID,)),
    ("containerd CRI: systemd", f"{BURSTABLE}/cri-containerd-{ID}.scope", (ID,)),
    ("containerd CRI: guaranteed pod", f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{ID}.scope", (ID,)),
    ("containerd CRI: cgroupfs", f"/kubepods/burstable/pod{UID}/{ID}", (ID,)),
    ("kubelet: a static pod's uid is a hash", f"/kubepods/besteffort/pod{STATIC_UID}/{ID}", (ID,)),
    (
        "containerd CRI: kubelet says systemd, containerd cgroupfs",
        f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{ID}",
        (ID,),
    ),
    ("cri-dockerd: systemd", f"{BURSTABLE}/docker-{ID}.scope", (ID,)),
    ("CRI-O cgmgr: systemd", f"{BURSTABLE}/crio-{ID}.scope", (ID,)),
    ("CRI-O cgmgr: systemd, crun", f"{BURSTABLE}/crio-{ID}.scope/container", (ID,)),
    ("CRI-O cgmgr: cgroupfs", f"/kubepods/burstable/pod{UID}/crio-{ID}", (ID,)),
    ("kind, v2", f"/system.slice/docker-{POD}.scope{KIND}/cri-containerd-{ID}.scope", (POD, ID)),
    ("kind, v2, the node's own programs", f"/system.slice/docker-{POD}.scope/system.slice/containerd.service", (POD,)),
    ("kind, v1, systemd", f"/docker/{POD}{KIND}/cri-containerd-{ID}.scope", (POD, ID)),
    ("kind, v1, cgroupfs", f"/docker/{POD}/kubelet/kubepods/besteffort/pod{UID}/{ID}", (POD, ID)),
    ("minikube, docker driver, v1", f"/docker/{POD}/kubepods/burstable/pod{UID}/{ID}", (POD, ID)),
    ("minikube, docker, v2", f"/system.slice/docker-{POD}.scope{BURSTABLE}/cri-containerd-{ID}.scope", (POD, ID)),
    ("minikube, podman driver", f"/machine.slice/libpod-{POD}.scope/container{BURSTABLE}/crio-{ID}.scope", (POD, ID)),
    ("ECS agent, EC2, v1: /ecs/TASK", f"/ecs/{TASK}/{ID}", (ID,)),
    ("ECS agent, EC2, older: a task's uuid", f"/ecs/{UID}/{ID}", (ID,)),
    ("ECS agent, EC2, v2: cgroup root ecstasks", f"/ecstasks.slice/ecstasks-{TASK}.slice/docker-{ID}.scope", (ID,)),
    ("ECS on Fargate 1.4", f"/ecs/{TASK}/{TASK}-1234567890", (f"{TASK}-1234567890",)),
    ("lxc cgroups/cgroup.h: DEFAULT_PAYLOAD_CGROUP_PREFIX", "/lxc.payload.web", ("web",)),
    ("lxc, Incus: what runs inside", "/lxc.payload.web/system.slice/ssh.service", ("web",)),
    ("lxc, a user's", "/user.slice/user-1000.slice/session-2.scope/lxc.payload.web", ("web",)),
    ("LXD, Incus: a container of a project", "/lxc.payload.shop_web", ("shop_web",)),
    ("lxc 3.2", "/lxc.payload/web", ("web",)),
    ("lxc 3.0 and before", "/lxc/web/system.slice", ("web",)),
    ("Proxmox pve-container: lxc.cgroup.dir.container", "/lxc/101/ns/init.scope", ("101",)),
    ("lxc.cgroup.pattern = lxc/%n", "/lxc/web/lxc.payload/init.scope", ("web",)),
    ("lxc in lxc", "/lxc.payload.outer/lxc.payload.inner", ("outer", "inner")),
    ("docker in lxc", f"/lxc.payload.web/system.slice/docker-{ID}.scope", ("web", ID)),
    ("systemd nspawn-register.c: a scope by machined", "/machine.slice/machine-web.scope/payload", ("web",)),
    ("systemd.unit(5): escaped", r"/machine.slice/machine-web\x2d1.scope", ("web-1",)),
    ("systemd-nspawn@.service", "/machine.slice/systemd-nspawn@web.service", ("web",)),
    ("nspawn-cgroup.c: create_subcgroup", "/machine.slice/systemd-nspawn@web.service/payload/init.scope", ("web",)),
    ("libvirt docs/cgroups: lxc", r"/machine.slice/machine-lxc\x2d12345\x2ddemo.scope/libvirt", ("lxc-12345-demo",)),
    ("runc docs/systemd.md: no name given", "/system.slice/runc-web.scope", ("web",)),
    ("gVisor g3doc systemd.md: no name given", "/user.slice/runsc-web.scope", ("web",)),
]  # fmt: skip

NO_CONTAINERS: list[tuple[str, str]] = [
    ("the root", "/"),
    ("nothing", ""),
    ("systemd", "/init.scope"),
    ("a session", "/user.slice/user-1000.slice/session-3.scope"),
    ("the engines themselves", "/system.slice/docker.service"),
    ("the engines themselves", "/system.slice/containerd.service"),
    ("the engines themselves", "/system.slice/crio.service"),
    ("the kubelet", "/system.slice/kubelet.service"),
    ("kind: the kubelet", "/kubelet.slice/kubelet.service"),
    ("podman: conmon, systemd", f"/machine.slice/libpod-conmon-{ID}.scope"),
    ("podman: conmon of a pod", f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-conmon-{ID}.scope"),
    ("podman: conmon, rootless", f"{USER}/user.slice/libpod-conmon-{ID}.scope"),
    ("podman: conmon, cgroupfs", "/libpod_parent/conmon"),
    ("podman: conmon, split", "/system.slice/web.service/runtime"),
    ("podman: a health check's unit", f"/system.slice/{ID}.service"),
    ("podman: a health check's unit", f"/system.slice/{ID}-4e2a.service"),
    ("podman: a pod, systemd", f"/machine.slice/machine-libpod_pod_{POD}.slice"),
    ("podman: a pod, cgroupfs", f"/libpod_parent/{POD}"),
    ("CRI-O: conmon, systemd", f"{BURSTABLE}/crio-conmon-{ID}.scope"),
    ("CRI-O: conmon, system.slice", f"/system.slice/crio-conmon-{ID}.scope"),
    ("CRI-O: conmon, cgroupfs", f"/kubepods/burstable/pod{UID}/crio-conmon-{ID}"),
    ("kubelet: a pod, systemd", BURSTABLE),
    ("kubelet: a pod, cgroupfs", f"/kubepods/burstable/pod{UID}"),
    ("kubelet: a static pod", f"/kubepods/besteffort/pod{STATIC_UID}"),
    ("systemd: a mount of docker", f"/system.slice/var-lib-docker-overlay2-{ID}-merged.mount"),
    ("an id that is too short", f"/system.slice/docker-{ID[1:]}.scope"),
    ("an id that is too long", f"/docker/{ID}0"),
    ("no hexadecimal digits", f"/docker/{'g' * 64}"),
    ("docker's parent", "/docker"),
    ("moby buildkit: the parent", "/docker/buildkit"),
    ("ECS: a task, v1", f"/ecs/{TASK}"),
    ("ECS: a task, v2", f"/ecstasks.slice/ecstasks-{TASK}.slice"),
    ("lxc: the monitor", "/lxc.monitor.web"),
    ("lxc: the monitor, a user's", "/user.slice/user-1000.slice/session-2.scope/lxc.monitor.web"),
    ("lxc 3.2, Proxmox: the monitor", "/lxc.monitor/101"),
    ("lxc.cgroup.pattern = lxc/%n: the monitor", "/lxc/web/lxc.monitor"),
    ("lxc cgroups/cgroup.h: CGROUP_PIVOT", "/lxc.pivot"),
    ("lxc: services", "/system.slice/lxc.service"),
    ("lxc: services", "/system.slice/lxc-net.service"),
    ("lxc: services", "/system.slice/lxc-monitord.service"),
    ("lxc: services", "/system.slice/lxcfs.service"),
    ("lxc: the parent", "/lxc"),
    ("lxc 3.2: the parent", "/lxc.payload"),
    ("nspawn-cgroup.c: nspawn itself", "/machine.slice/systemd-nspawn@web.service/supervisor"),
    ("libvirt docs/cgroups: a virtual machine", r"/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator"),
    ("libvirt: a virtual machine", r"/machine.slice/machine-ch\x2d1\x2dweb.scope"),
]


@pytest.mark.parametrize(("source", "path", "names"), CONTAINERS, ids=[path for _, path, _ in CONTAINERS])
def test_the_containers_that_a_cgroup_lies_in(source: str, path: str, names: tuple[str, ...]) -> None:
    assert containers_of(path) == names, source
    shown = names[-1][:12] if len(names[-1]) == 64 else names[-1]
    assert container_of(path) == shown, source


@pytest.mark.parametrize(("source", "path"), NO_CONTAINERS, ids=[path for _, path in NO_CONTAINERS])
def test_what_is_not_a_container(source: str, path: str) -> None:
    assert containers_of(path) == (), source
    assert container_of(path) is None


def test_inside_another_container_a_watcher_belongs_to_that() -> None:
    assert containers_of(f"/lxc.payload.outer/lxc.monitor.inner/libpod-conmon-{ID}.scope") == ("outer",)
    assert containers_of(f"/system.slice/docker-{POD}.scope/lxc/inner/lxc.monitor") == (POD,)


def test_an_id_may_be_short_and_a_name_may_not() -> None:
    assert is_container(ID[:12], ID)
    assert is_container(f"{TASK}-12", f"{TASK}-1234567890")
    assert not is_container(ID[:1], ID)
    assert not is_container(f"{ID}0", ID)
    assert is_container("web", "web")
    assert not is_container("web", "web-2")
    assert not is_container("web-2", "web")


def test_a_sister_whose_name_begins_alike_is_not_below() -> None:
    for v1 in (False, True):
        chosen = CgroupChoice("/jobs/a", id=1, level=2, v1=v1)
        paths = ("/jobs/a", "/jobs/a/b", "/jobs/ab", "/jobs/a.slice", "/jobs")
        assert [path for path in paths if chosen.matches(path, v1)] == ["/jobs/a", "/jobs/a/b"]
        assert not chosen.matches("/jobs/a", not v1)
    assert CgroupChoice("/", id=1, level=0).matches("/jobs/a", v1=False)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of directories in the place of a hierarchy."""
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, v1=False),))
    return tmp_path


def test_a_container_is_found_by_its_topmost_cgroup_wherever_it_runs(tree: Path) -> None:
    node, inner = f"/docker/{POD}", f"/docker/{POD}{KIND}/cri-containerd-{ID}.scope"
    nspawn = "/machine.slice/systemd-nspawn@web.service"
    payload, supervisor, conmon = f"{nspawn}/payload/init.scope", f"{nspawn}/supervisor", f"{node}/conmon-{ID}.scope"
    for path in (f"{node}/init", f"{inner}/a/b", payload, supervisor, conmon, "/lxc.monitor.m"):
        os.makedirs(tree / path[1:])
    assert [choice.path for choice in container_cgroups(POD[:12])] == [node]
    assert [choice.path for choice in container_cgroups(ID[:12])] == [inner]
    assert [choice.path for choice in container_cgroups("web")] == [f"{nspawn}/payload"]
    for name in ("m", "we", ID[:1]):
        with pytest.raises(SourceError, match="no cgroup belongs"):
            container_cgroups(name)


@pytest.mark.parametrize("name", ["w\u0301eb", "w\x1bb", "w\udcffb"])
def test_a_container_is_found_by_its_name_and_by_how_that_is_shown(tree: Path, name: str) -> None:
    os.makedirs(tree / f"lxc.payload.{name}")
    shown = printable(name)
    assert shown != name
    for typed in (name, shown):
        assert [choice.path for choice in container_cgroups(typed)] == [f"/lxc.payload.{name}"]
        assert in_container((typed,), printable(f"/lxc.payload.{name}"))


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/", None),
        ("ssh.service", "ssh.service"),
        ("/user.slice/user-0.slice/user@0.service/app.slice/x.scope/inner", "x.scope"),
        ("/a.service/b.scope", "b.scope"),
        ("/a.services", None),
    ],
)
def test_the_innermost_unit_of_a_path(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit


@pytest.mark.parametrize("piece", ["x", "/lxc.", "/runc-", "-", "/machine.slice/machine-", ID])
def test_no_path_takes_long_to_read(piece: str) -> None:
    began = time.monotonic()
    unit_of("/" + piece * (100_000 // len(piece)))
    container_of("/" + piece * (100_000 // len(piece)))
    assert time.monotonic() - began < 5
