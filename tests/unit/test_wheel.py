"""The wheel: what is in it, and what an index shows of it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

import pytest
import readme_renderer.markdown

from ebpftop import __version__

CHECKOUT = Path(__file__).parents[2]
REPOSITORY = "https://code.example.org/tools/ebpftop"
CARRIED = {"src/ebpftop": "ebpftop", "bpf": "ebpftop/bpf", "docs": "ebpftop/docs"}
"""Each folder of the checkout that is in the wheel, and where."""


def build(folder: Path, repository: str) -> Path:
    """Return the wheel of this checkout."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        check=True,
        cwd=CHECKOUT,
        env={**os.environ, "EBPFTOP_REPOSITORY": repository},
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of which it is known where the repository is."""
    return zipfile.ZipFile(build(tmp_path_factory.mktemp("wheel"), REPOSITORY))


@pytest.fixture(scope="module")
def homeless(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of which that is not known."""
    return zipfile.ZipFile(build(tmp_path_factory.mktemp("homeless"), ""))


def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"ebpftop-{__version__}.dist-info/METADATA"))


def description(wheel: zipfile.ZipFile) -> str:
    payload = metadata(wheel).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


class Targets(HTMLParser):
    """Where the links and the pictures of a page are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)
        if tag == "img":
            self.pictures.append(values.get("src") or "")


def rendered(wheel: zipfile.ZipFile) -> Targets:
    """Return what the page of an index links to, made as PyPI makes it."""
    warnings = io.StringIO()
    page = readme_renderer.markdown.render(description(wheel), stream=warnings)
    assert page is not None, warnings.getvalue()
    return Targets(page)


def tracked(folder: str) -> set[str]:
    """Return the files of the project below *folder*, with names below it."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", CHECKOUT, "ls-files", "-z", "-co", "--exclude-standard", folder],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    return {name.removeprefix(f"{folder}/") for name in listed.split("\0") if name and (CHECKOUT / name).exists()}


def test_it_holds_the_modules_the_bpf_sources_the_pages_and_the_recordings_and_nothing_else(
    wheel: zipfile.ZipFile,
) -> None:
    found = {name for name in wheel.namelist() if name.startswith("ebpftop/")}
    expected = {f"{place}/{name}" for folder, place in CARRIED.items() for name in tracked(folder)}
    assert sorted(found ^ expected) == []
    for name in ("bpf/execs.c", "bpf/lesson/1-hello.c", "docs/run.md", "docs/lesson/1-hello.md", "demo/demo.jsonl.zst"):
        assert f"ebpftop/{name}" in found


def test_what_it_holds_is_what_the_checkout_has(wheel: zipfile.ZipFile) -> None:
    for folder, place in CARRIED.items():
        for name in tracked(folder):
            assert wheel.read(f"{place}/{name}") == (CHECKOUT / folder / name).read_bytes(), name


def test_man_finds_its_page_and_the_licences_come_with_it(wheel: zipfile.ZipFile) -> None:
    page = f"ebpftop-{__version__}.data/data/share/man/man1/ebpftop.1"
    assert wheel.read(page) == (CHECKOUT / "docs/ebpftop.1").read_bytes()
    for name in ("LICENSE", "bpf/LICENSE"):
        carried = wheel.read(f"ebpftop-{__version__}.dist-info/licenses/{name}")
        assert carried == (CHECKOUT / name).read_bytes()


def test_its_metadata_say_what_an_index_asks(wheel: zipfile.ZipFile) -> None:
    said = metadata(wheel)
    assert (said["Name"], said["Version"], said["License-Expression"]) == (
        "ebpftop",
        __version__,
        "Apache-2.0 AND GPL-2.0-only",
    )
    assert said["Description-Content-Type"] == "text/markdown"
    assert said["Requires-Python"] == ">=3.10"
    assert f"Source, {REPOSITORY}" in said.get_all("Project-URL", [])
    # PyPI's bcc is an unrelated package.
    assert not any(re.match(r"bcc\b", need) for need in said.get_all("Requires-Dist", []))


def test_pictures_and_links_work_on_the_page_of_an_index(wheel: zipfile.ZipFile) -> None:
    page = rendered(wheel)
    assert len(page.pictures) == len(re.findall(r"!\[", (CHECKOUT / "README.md").read_text())) > 3
    assert len(page.links) > 20
    for kind, targets in (("raw", page.pictures), ("blob", page.links)):
        for target in targets:
            place, _, path = target.partition(f"/{kind}/v{__version__}/")
            if place == REPOSITORY:
                assert (CHECKOUT / path.partition("#")[0]).exists(), target
            else:
                assert re.match(r"https://|#", target), target
    assert f"git clone {REPOSITORY}" in description(wheel)


def test_without_the_address_of_a_repository_the_page_has_no_link_that_leads_nowhere(homeless: zipfile.ZipFile) -> None:
    page = rendered(homeless)
    assert page.pictures == []
    assert [target for target in page.links if not re.match(r"https://|#", target)] == []
    text = description(homeless)
    assert "(docs/security.md)" in text, "a page is still named"
    assert not re.search(r"^\|[\s|]*$", text, re.MULTILINE), "no table without a cell"


def test_what_is_not_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        build(tmp_path, "/home/somebody/ebpftop")
