"""Each theme: what can be read of it, and what becomes of it on terminals with fewer colours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from ebpftop.core.theme_names import AUTO, THEME_NAMES
from ebpftop.ui.themes import HUES, Grounds, Roles, Scheme, fitting, is_light, is_light_colour, luminance, schemes
from ebpftop.ui.themes.depth import Depth, depth_of
from ebpftop.ui.themes.shown import ShownColours

ALL = [*schemes(light=False).values(), schemes(light=True)["16"]]
IDS = [f"{scheme.name}-{'dark' if scheme.dark else 'light'}" for scheme in ALL]
OF_OWN = [scheme for scheme in ALL if not scheme.own_colours]
TEXT = ("text", "dim", "accent", "bad", "warn", "good")
PLOTS = ("rest", "edge")

# What xterm shows for each of the 16 numbers.
XTERM = (
    *("#000000", "#cd0000", "#00cd00", "#cdcd00", "#0000ee", "#cd00cd", "#00cdcd", "#e5e5e5"),
    *("#7f7f7f", "#ff0000", "#00ff00", "#ffff00", "#5c5cff", "#ff00ff", "#00ffff", "#ffffff"),
)


def parts(colour: str) -> Iterator[float]:
    return (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: from 1 to 21."""
    darker, lighter = sorted((luminance(parts(one)), luminance(parts(other))))
    return (lighter + 0.05) / (darker + 0.05)


def shown(scheme: Scheme, depth: Depth, role: str, ground: str, *, own: bool = True) -> Style:
    style = Style(color=getattr(scheme.roles, role), bgcolor=getattr(scheme.grounds, ground))
    colours = ShownColours(scheme, depth, own_background=own)
    return colours.style(style) if colours.enabled else style


def pair(style: Style, ground: str) -> tuple[str, str]:
    """Return the colours that an xterm with *ground* draws with."""
    found = []
    for colour, default in ((style.color, ""), (style.bgcolor, ground)):
        assert colour is not None
        if colour.triplet is not None:
            found.append(colour.triplet.hex)
        elif colour.is_default:
            assert default, "the terminal's own foreground may be anything"
            found.append(default)
        else:
            assert colour.number is not None
            found.append(XTERM[colour.number] if colour.number < 16 else colour.get_truecolor().hex)
    return (found[1], found[0]) if style.reverse else (found[0], found[1])


def test_the_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("depth", [Depth.ALL, Depth.MANY, Depth.SIXTEEN])
@pytest.mark.parametrize("scheme", ALL, ids=IDS)
def test_text_has_enough_contrast_wherever_it_is_drawn(scheme: Scheme, depth: Depth) -> None:
    for ground in Grounds._fields:
        for role in TEXT:
            colours = pair(shown(scheme, depth, role, ground), "#000000" if scheme.dark else "#ffffff")
            assert contrast(*colours) >= 4.5, (role, ground, colours)


@pytest.mark.parametrize("depth", [Depth.ALL, Depth.MANY, Depth.SIXTEEN])
@pytest.mark.parametrize("scheme", ALL, ids=IDS)
def test_plots_and_edges_have_enough_contrast(scheme: Scheme, depth: Depth) -> None:
    for role in PLOTS:
        colours = pair(shown(scheme, depth, role, "background"), "#000000" if scheme.dark else "#ffffff")
        assert contrast(*colours) >= 3, (role, colours)


@pytest.mark.parametrize("scheme", OF_OWN, ids=[scheme.name for scheme in OF_OWN])
def test_more_heat_is_further_from_the_background(scheme: Scheme) -> None:
    levels = [contrast(colour, scheme.grounds.background) for colour in scheme.heat]
    assert levels == sorted(levels)


def test_what_says_different_things_looks_different() -> None:
    for scheme in ALL:
        assert len({getattr(scheme.roles, role) for role in TEXT}) == len(TEXT)
        for depth in (Depth.SIXTEEN, Depth.MANY, Depth.ALL):
            found = {role: shown(scheme, depth, role, "background") for role in ("text", "accent", "bad", "warn")}
            assert len({style.color for style in found.values()}) == len(found), (scheme.name, depth)


def test_the_screen_gets_the_colours_exactly() -> None:
    for scheme in ALL:
        theme: Theme = scheme.theme
        generated = {**theme.to_color_system().generate(), **theme.variables}
        assert generated["foreground"] == scheme.roles.text
        assert generated["error"] == scheme.roles.bad
        assert generated["warning"] == scheme.roles.warn
        assert generated["success"] == scheme.roles.good
        assert generated["primary"] == generated["secondary"] == generated["accent"] == scheme.roles.accent
        assert generated["panel"] == scheme.grounds.panel


def test_the_names_are_those_of_the_option() -> None:
    assert (AUTO, *schemes(light=False)) == THEME_NAMES == (AUTO, *schemes(light=True))


def test_auto_is_as_the_terminal_is() -> None:
    assert [fitting(AUTO, light=light) for light in (False, True)] == ["dark", "light"]
    assert [fitting("contrast", light=light) for light in (False, True)] == ["contrast", "contrast"]


@pytest.mark.parametrize(
    ("told", "light"), [("", False), ("15;0", False), ("0;15", True), ("0;default;7", True), ("nonsense", False)]
)
def test_colorfgbg_tells_how_the_background_is(told: str, light: bool) -> None:
    assert is_light({"COLORFGBG": told}) == light


def test_a_background_is_light_if_dark_text_is_read_better_on_it() -> None:
    for colour in ("#fafaf8", "#fdf6e3", "#cccccc", "#808080"):
        assert is_light_colour(parts(colour)), colour
    for colour in ("#000000", "#002b36", "#12161b", "#444444"):
        assert not is_light_colour(parts(colour)), colour


# ---- Fewer colours ----


def test_sixteen_colours_keep_what_they_say() -> None:
    for scheme in ALL:
        for role in Roles._fields:
            style = shown(scheme, Depth.SIXTEEN, role, "background")
            assert style.color is not None
            if not (scheme.name == "contrast" and role == "rest"):  # it has the colour of the accent
                assert style.color.number == int(getattr(scheme.ansi, role)), (scheme.name, role)
            assert style.bgcolor == Color.default()
            assert not style.reverse


@pytest.mark.parametrize("ground", ["panel", "cursor"])
def test_titles_and_the_cursor_are_reversed_and_what_is_wrong_stands_out_of_them(ground: str) -> None:
    for scheme in ALL:
        bars = {role: shown(scheme, Depth.SIXTEEN, role, ground) for role in Roles._fields}
        assert all(style.reverse for style in bars.values())
        assert len({bars[role].color for role in ("text", "dim", "edge")}) == 1
        assert bars["bad"].color != bars["text"].color


def test_a_badge_is_the_background_on_a_colour() -> None:
    dark = schemes(light=False)["dark"]
    colours = ShownColours(dark, Depth.SIXTEEN, own_background=True)
    badge = colours.style(Style(color=dark.grounds.background, bgcolor=dark.roles.warn, bold=True))
    assert badge == Style(color=Color.from_ansi(11), bgcolor=Color.default(), bold=True, reverse=True)


def test_a_dark_theme_on_a_light_terminal_brings_its_background() -> None:
    dark, light = schemes(light=True)["dark"], schemes(light=False)["light"]
    assert shown(dark, Depth.SIXTEEN, "text", "background", own=False).bgcolor == Color.from_ansi(0)
    assert shown(light, Depth.SIXTEEN, "text", "background", own=False).bgcolor == Color.from_ansi(15)


def test_the_sixteen_colours_are_used_where_there_are_more() -> None:
    style = shown(schemes(light=False)["16"], Depth.ALL, "bad", "background")
    assert (style.color, style.bgcolor) == (Color.from_ansi(9), Color.default())


def test_without_colours_there_are_only_bold_underline_and_reverse() -> None:
    for scheme in ALL:
        colours = ShownColours(scheme, Depth.NONE, own_background=True)
        for role in Roles._fields:
            for ground in Grounds._fields:
                style = Style(
                    color=getattr(scheme.roles, role),
                    bgcolor=getattr(scheme.grounds, ground),
                    dim=True,
                    italic=True,
                    strike=True,
                    underline=True,
                )
                plain = colours.style(style)
                assert plain.color is None
                assert plain.bgcolor is None
                assert not any((plain.dim, plain.italic, plain.strike))
                assert plain.underline
                assert bool(plain.reverse) == (ground in ("panel", "cursor"))
                assert bool(plain.bold) == (role in HUES - {"good"} or (scheme.name == "contrast" and role == "rest"))


def test_a_colour_of_no_role_is_that_of_the_nearest() -> None:
    dark = schemes(light=False)["dark"]
    colours = ShownColours(dark, Depth.SIXTEEN, own_background=True)
    assert colours.style(Style(color="#f08080", bgcolor="#12161c")) == Style(
        color="color(9)", bgcolor="default", reverse=False
    )
    # What is replaced already stays: some lines pass twice.
    assert colours.style(Style(color="color(9)", bgcolor="default")).bgcolor == Color.default()


def test_with_all_colours_nothing_is_filtered() -> None:
    reversing = {scheme.name for scheme in ALL if ShownColours(scheme, Depth.ALL, own_background=True).enabled}
    assert reversing == {"contrast", "16"}


@pytest.mark.parametrize(
    ("environment", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, Depth.ALL),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, Depth.ALL),
        ({"TERM": "xterm-256color"}, Depth.MANY),
        ({"TERM": "screen-256color"}, Depth.MANY),
        ({"TERM": "tmux-direct"}, Depth.ALL),
        ({"TERM": "xterm-kitty"}, Depth.ALL),
        ({"TERM": "foot"}, Depth.ALL),
        ({"TERM": "xterm"}, Depth.SIXTEEN),
        ({"TERM": "screen"}, Depth.SIXTEEN),
        ({"TERM": "xterm-16color", "COLORTERM": "truecolor"}, Depth.SIXTEEN),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, Depth.SIXTEEN),
        ({"TERM": "linux-16color"}, Depth.SIXTEEN),
        ({"TERM": "xterm-mono"}, Depth.NONE),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, Depth.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, Depth.MANY),
    ],
)
def test_how_many_colours_a_terminal_has(environment: dict[str, str], depth: Depth) -> None:
    assert depth_of(environment) == depth


@pytest.mark.parametrize(
    ("term", "depth"),
    [("vt220", Depth.NONE), ("vt100", Depth.NONE), ("ansi", Depth.SIXTEEN), ("nobody-knows", Depth.SIXTEEN)],
)
def test_terminfo_is_asked_at_last(term: str, depth: Depth) -> None:
    # In a process of its own: ncurses keeps the first terminal that it is asked about.
    program = f"from ebpftop.ui.themes.depth import depth_of; print(int(depth_of(dict(TERM={term!r}))))"
    answer = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert int(answer.stdout) == depth
