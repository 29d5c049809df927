"""What engines call a container, by the files that they keep: each engine's, and what is no file of an engine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ebpftop.kernel import container_names
from ebpftop.kernel.container_names import BYTES_MAX, NAME_MAX, ContainerNames

ID, OTHER = "ab" * 32, "cd" * 32


def put(root: Path, path: str, content: object) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def stored(*names: str, id: str = ID) -> list[object]:
    """Return a list of containers/storage."""
    return [{"id": OTHER, "names": ["other"]}, {"id": id, "names": list(names), "layer": "x", "created": 1}]


CRI = "io.kubernetes.cri."
PODS = {f"{CRI}sandbox-name": "web-7f9", f"{CRI}sandbox-namespace": "shop", f"{CRI}container-name": "nginx"}
DOCKER = f"var/lib/docker/containers/{ID}/config.v2.json"
TASKS = "run/containerd/io.containerd.runtime.v2.task"
STORAGE = "var/lib/containers/storage"


@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        pytest.param(DOCKER, {"ID": ID, "Name": "/web", "State": {"Running": True}}, "web", id="docker"),
        pytest.param(DOCKER, {"Name": "/k8s_app_web-7f9_shop_8c1_0"}, "shop/web-7f9/app", id="dockershim"),
        pytest.param(f"{STORAGE}/overlay-containers/containers.json", stored("web"), "web", id="podman"),
        pytest.param(f"{STORAGE}/vfs-containers/containers.json", stored("web", "alias"), "web", id="another driver"),
        pytest.param(f"{STORAGE}/overlay-containers/volatile-containers.json", stored("web"), "web", id="--rm"),
        pytest.param("run/containers/storage/overlay-containers/containers.json", stored("web"), "web", id="in memory"),
        pytest.param(
            f"{STORAGE}/overlay-containers/containers.json",
            stored("k8s_app_web_shop_8c1_12"),
            "shop/web/app",
            id="CRI-O",
        ),
        pytest.param(f"{TASKS}/k8s.io/{ID}/config.json", {"annotations": PODS}, "shop/web-7f9/nginx", id="containerd"),
        pytest.param(
            f"{TASKS}/k8s.io/{ID}/config.json",
            {"annotations": {key: PODS[key] for key in PODS if "container-name" not in key}},
            "shop/web-7f9/POD",
            id="sandbox",
        ),
        pytest.param(
            f"{TASKS}/default/{ID}/config.json", {"annotations": {"nerdctl/name": "web"}}, "web", id="nerdctl"
        ),
        pytest.param(f"{TASKS}/moby/{ID}/config.json", {"annotations": {}}, None, id="no name"),
        pytest.param(f"{STORAGE}/overlay-containers/containers.json", stored(id="ef" * 32), None, id="another"),
    ],
)
def test_every_engine_s_name_is_found(tmp_path: Path, file: str, content: object, name: str | None) -> None:
    put(tmp_path, file, content)
    assert ContainerNames(tmp_path).name(ID) == name


@pytest.mark.parametrize(
    "folder", [f"{STORAGE}/overlay-containers", "home/ann/.local/share/containers/storage/vfs-containers"]
)
def test_what_was_started_meanwhile_is_found_and_an_unchanged_list_is_not_decoded_again(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    names_in = container_names._names_in

    def noted(content: bytes) -> dict[str, str]:
        decoded.append(content)
        return names_in(content)

    monkeypatch.setattr(container_names, "_names_in", noted)
    names = ContainerNames(tmp_path)
    assert names.name(ID, os.getuid()) is None
    file = put(tmp_path, f"{folder}/containers.json", stored("web"))
    for _ in range(3):
        assert names.name(ID, os.getuid()) == "web"
    assert len(decoded) == 1
    # Another name of the same length, and the old time of modification.
    before = os.stat(file)
    until_s = time.monotonic() + 10
    while os.stat(file).st_ctime_ns == before.st_ctime_ns and time.monotonic() < until_s:
        file.write_text(file.read_text().replace("web", "new"))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names.name(ID, os.getuid()) == "new"


def test_lists_that_nobody_asks_for_any_more_are_forgotten(tmp_path: Path) -> None:
    names = ContainerNames(tmp_path)
    for driver in range(40):
        put(tmp_path, f"{STORAGE}/{driver}-containers/containers.json", stored("web", id="ef" * 32))
    assert names.name(ID) is None
    assert len(names._lists) == 16


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        '[{"id": 5}]',
        '{"Name": 5}',
        "[" * 100_000,
        '{"Name": "' + "x" * 100,
        '"\ud800"',
        "\0\xff",
        "{}",
        "[]",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_no_file_of_an_engine_gives_no_name(tmp_path: Path, content: str) -> None:
    for path in (DOCKER, f"{TASKS}/x/{ID}/config.json", f"{STORAGE}/overlay-containers/containers.json"):
        file = put(tmp_path, path, "")
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert ContainerNames(tmp_path).name(ID, os.getuid()) is None


def test_what_cannot_be_read_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / DOCKER)
    (tmp_path / f"{TASKS}/x/{ID}/config.json").mkdir(parents=True)
    huge = put(tmp_path, f"{STORAGE}/overlay-containers/containers.json", "")
    os.truncate(huge, BYTES_MAX * 100)
    assert ContainerNames(tmp_path).name(ID) is None


def test_an_endless_name_is_cut(tmp_path: Path) -> None:
    put(tmp_path, DOCKER, {"Name": "/" + "x" * 10_000})
    assert ContainerNames(tmp_path).name(ID) == "x" * NAME_MAX


@pytest.mark.parametrize("id", ["", "..", "../" + ID, ID[:12], ID.upper(), ID + "\n"])
def test_only_whole_ids_lead_to_files(tmp_path: Path, id: str) -> None:
    put(tmp_path, f"var/lib/docker/containers/{id.strip() or 'x'}/config.v2.json", {"Name": "/web"})
    assert ContainerNames(tmp_path).name(id) is None


class TestContainersOfAUser:
    """The files belong to the user, who may have put anything there."""

    LISTS = "home/ann/.local/share/containers/storage/overlay-containers"

    def test_a_name_is_found_in_the_home_of_the_user_alone(self, tmp_path: Path) -> None:
        put(tmp_path, f"{self.LISTS}/containers.json", stored("web"))
        names = ContainerNames(tmp_path)
        assert names.name(ID, os.getuid()) == "web"
        assert names.name(ID, os.getuid() + 1) is None
        assert names.name(ID) is None

    def test_no_link_is_followed(self, tmp_path: Path) -> None:
        secret = put(tmp_path, "secret/overlay-containers/containers.json", stored("secret"))
        lists = tmp_path / self.LISTS
        lists.mkdir(parents=True)
        (lists / "containers.json").symlink_to(secret)
        assert ContainerNames(tmp_path).name(ID, os.getuid()) is None
        (lists / "containers.json").unlink()
        lists.rmdir()
        lists.symlink_to(secret.parent)
        assert ContainerNames(tmp_path).name(ID, os.getuid()) is None

    def test_a_fifo_is_not_waited_for_and_no_descriptor_stays(self, tmp_path: Path) -> None:
        lists = tmp_path / self.LISTS
        lists.mkdir(parents=True)
        os.mkfifo(lists / "containers.json")
        names = ContainerNames(tmp_path)
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            assert names.name(ID, os.getuid()) is None
        assert os.listdir("/proc/self/fd") == before
