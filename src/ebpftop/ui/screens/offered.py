"""What the palette offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.binding import Binding

from ebpftop.core.escape import escape
from ebpftop.core.theme_names import THEME_NAMES
from ebpftop.models.series import WHATS
from ebpftop.settings.rows import FILTERS
from ebpftop.ui.registry import PRESETS, PaneLayout
from ebpftop.ui.screens.applied_settings import SettableApp
from ebpftop.ui.screens.going import PLACES
from ebpftop.ui.screens.kept import KeptSettings
from ebpftop.ui.screens.key_actions import Command, Tier, key_actions, key_commands
from ebpftop.ui.screens.main import MainScreen
from ebpftop.ui.widgets.graphs import name_of

_NAME_MAX = 40
"""Characters of a filter by which it is called."""


def offered(app: SettableApp, main: MainScreen, kept: KeptSettings, picture: Callable[[], None]) -> Iterator[Command]:
    """Yield every action that has a key, and those that have none; *picture* takes a screenshot.

    Nothing of Textual's: its help lists keys that ebpftop does not have, and everybody can read its screenshots.
    """
    yield from key_commands(app, main)
    yield Command("Theme", f"Other colours: {', '.join(THEME_NAMES)}", app.action_change_theme)
    yield Command("Screenshot", "Save what is on the screen as an SVG picture", picture)
    for pane in main.panes:
        turn = partial(main.action_probe, pane.probe)
        keys = _key_of(app, f"probe.{pane.probe}")
        if pane.number:
            yield Command(f"Probe {pane.probe}", f"{pane.label}: toggle its probe", turn, keys)
        else:
            yield Command(f"Pane {pane.probe}", f"Go to {pane.label}", turn, keys)
        about = partial(main.probes.open, pane.probe)
        hide = pane in main.choice_of_panes
        does = f"{pane.label}: {'hide its pane; its probe stays as it is' if hide else 'show its pane'}"
        yield Command(f"{'Hide' if hide else 'Show'} {pane.probe}", does, partial(main.show_pane, pane, shown=not hide))
        yield Command(
            f"Details of {pane.probe}",
            "What its probe is attached to, cannot see, lost; its programs, maps, code",
            about,
        )
    if (subject := main.subject) is not None:
        for place in main.going.places(subject):
            label, what = PLACES[place]
            whose = f"{what}: {subject.comm} ({subject.pid})"
            go = partial(main.going.go, place, subject)
            yield Command(f"Go to {label.lower()}", escape(whose), go, tier=Tier.LIST)
    for preset, panes_of in PRESETS.items():
        chosen = partial(main.set_layout, PaneLayout(preset, weights=main.pane_layout.weights))
        yield Command(f"Layout {preset}", panes_of, chosen)
    for view in main.views.pane.views:
        yield Command(f"View by {view.one}", f"{view.label} in the second pane", partial(main.views.choose, view.name))
    if any(main.profiles.found(*main.rows.seen())):
        does = "Of the row, or of what the filter leaves: a seccomp profile for containers"
        yield Command("Save seccomp profile", does, lambda: main.action_save("seccomp"))
    yield Command("Export as JSON", f"The rows of {main.pane.label}", lambda: main.action_save("json"))
    for name, text in kept.settings.entries(FILTERS).items():
        yield Command(f"Filter {escape(name)}", escape(text), partial(main.type_filter, text))
    if typed := main.typed_filter:
        yield Command("Keep this filter", escape(typed), partial(_keep_filter, app, kept, typed))
    if main.source.live and any(kept.handled_calls().values()):
        yield Command("Keep ignored and traced calls", "At the next start they are the same", kept.keep_calls)
    if main.source.live and (traced := main.tracing.text):
        yield Command("Stop tracing", escape(traced), main.tracing.stop_all)
    if main.watching.expressions:
        yield Command("Keep watches", "At the next start the same is looked out for", kept.keep_watches)
    for what in WHATS:
        yield Command(f"Graph: {name_of(what)}", "Alone, with its axes", partial(main.graphs.open, what))
    yield Command("Report", "For a ticket, as plain text", lambda: main.action_save("report"))


def _key_of(app: SettableApp, binding: str) -> str:
    """Return the keys of a binding of the main screen, by its id; empty if it has none."""
    found = [one for one in MainScreen.BINDINGS if isinstance(one, Binding) and one.id == binding]
    return " ".join(key for one in key_actions(app, found) for key in one.keys)


def _keep_filter(app: SettableApp, kept: KeptSettings, text: str) -> None:
    name = text[:_NAME_MAX]
    kept.change((FILTERS.name, name), text)
    app.notify(f"The palette offers it as: Filter {escape(name)}", markup=False)
