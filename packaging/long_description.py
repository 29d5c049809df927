"""The long description of the wheel: README.md, with links that work on the page of a package index.

A metadata hook of hatchling (https://hatch.pypa.io/latest/plugins/metadata-hook/custom/), so it imports nothing that is
not there when a wheel is built. Pages and pictures of the checkout have their address in the repository, at the tag of
this version. Where that is, only who publishes knows: EBPFTOP_REPOSITORY. Without it there is nothing to link to:
pictures are left out, and links are their text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "EBPFTOP_REPOSITORY"

_PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#")
"""Targets that mean the same on every page: another site, or a heading of this one."""
_PICTURES_ALONE = re.compile(r"^\|[\s|-]*\n(?:\|[\s|-]*\n)+", re.MULTILINE)
"""A table whose pictures were left out."""
_CLONE = "<this repository>"


def long_description(readme: str, repository: str, tag: str) -> str:
    """Return *readme* with absolute links into *repository*; an empty one has no address."""

    def picture(match: re.Match[str]) -> str:
        if _ELSEWHERE.match(match["target"]):
            return match[0]
        return f"![{match['text']}]({repository}/raw/{tag}/{match['target']})" if repository else ""

    def link(match: re.Match[str]) -> str:
        if _ELSEWHERE.match(match["target"]):
            return match[0]
        return f"[{match['text']}]({repository}/blob/{tag}/{match['target']})" if repository else match["text"]

    text = _LINK.sub(link, _PICTURE.sub(picture, readme))
    if repository:
        return text.replace(_CLONE, repository)
    return re.sub(r"\n{3,}", "\n\n", _PICTURES_ALONE.sub("", text))


class LongDescription(MetadataHookInterface):
    """Sets what pyproject.toml calls dynamic, besides the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the long description and, if the repository is known, the links beside it."""
        repository = os.environ.get(VARIABLE, "").rstrip("/")
        if repository and not re.fullmatch(r"https?://[^\s/]+/\S+", repository):
            raise ValueError(
                f"{VARIABLE}: {repository!r} is not the address of a repository, as https://example.org/ebpftop"
            )
        root = Path(self.root)
        version = re.search(r'^__version__ = "(.+)"$', (root / "src/ebpftop/__init__.py").read_text(), re.MULTILINE)
        assert version is not None
        tag = f"v{version[1]}"
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": long_description((root / "README.md").read_text(encoding="utf-8"), repository, tag),
        }
        if repository:
            metadata["urls"] = {
                "Source": repository,
                "Documentation": f"{repository}/tree/{tag}/docs",
                "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
            }
