"""The picture that moves: each frame shows its own lines, and nothing of the others."""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.style import Style

SCRIPT = Path(__file__).resolve().parents[2] / "script" / "moving-picture"
NAMES = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture(scope="module")
def script() -> Any:
    loader = SourceFileLoader("moving_picture", str(SCRIPT))
    spec = spec_from_loader("moving_picture", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def visible(css: str, name: str, percent: float) -> bool:
    """Is what has this class visible at a point of the animation?"""
    rule = re.search(rf"@keyframes {name}\{{(.*?\}})\}}", css)
    assert rule
    steps = [(float(at), what) for at, what in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", rule[1])]
    return bool([what for at, what in steps if at <= percent][-1] == "visible")


def test_each_frame_shows_its_own_lines(script: Any) -> None:
    plain, loud = Style(), Style.parse("bold #ff0000 on #00ff00")
    one, two, three = ((("one <", plain),), (("two & ", plain), ("2", loud)), (("three", plain),))
    frames = [(one, two), (one, three), (two, one), (one, two)]
    svg = script.Drawing(frames, "#000000", "#ffffff").svg()
    tree = ElementTree.fromstring(svg)
    css = tree.findtext("svg:style", namespaces=NAMES) or ""
    texts = {
        group.get("id"): "".join(text.text or "" for text in group.findall("svg:text", NAMES))
        for group in tree.findall("svg:defs/svg:g", NAMES)
    }
    assert sorted(texts.values()) == ["one <", "three", "two & 2"]
    for number, frame in enumerate(frames):
        shown = {
            int(use.get("y", "")) // script.LINE_HEIGHT: texts[use.get("href", "")[1:]]
            for use in tree.findall("svg:use", NAMES)
            if "class" not in use.attrib or visible(css, use.attrib["class"], 100 * number / len(frames))
        }
        assert shown == {y: "".join(text for text, _ in line) for y, line in enumerate(frame)}
    assert "#ff0000;font-weight:bold" in css
