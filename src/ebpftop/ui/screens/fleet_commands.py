"""What the palette offers above the list of hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.dom import DOMNode

from ebpftop.core.escape import escape
from ebpftop.core.theme_names import THEME_NAMES
from ebpftop.ui.screens.applied_settings import SettableApp
from ebpftop.ui.screens.fleet import OF_A_HOST, FleetScreen
from ebpftop.ui.screens.key_actions import Command, Tier, key_actions, own_bindings


def fleet_commands(
    app: SettableApp, screen: FleetScreen, open_host: Callable[[str], None], picture: Callable[[], None]
) -> Iterator[Command]:
    """Yield every action of the list in focus, of the screen and of the app, then each host.

    *picture* takes a screenshot.
    """
    lines = screen.log_lines if screen.log_lines.has_focus else screen.table
    titles: set[str] = set()
    owners: list[tuple[DOMNode, Tier]] = [(lines, Tier.MOVES), (screen, Tier.SCREEN), (app, Tier.OTHER)]
    for node, tier in owners:
        for kind in type(node).__mro__:
            if kind.__module__.startswith("textual.") or not issubclass(kind, DOMNode):
                continue
            for one in key_actions(app, own_bindings(kind)):
                if one.label in titles or one.action.removeprefix("app.") in OF_A_HOST:
                    continue
                titles.add(one.label)
                is_row = one.id == "lines.open"
                run = partial(app.run_action, one.action, node)
                yield Command(
                    one.label, one.about, run, " ".join(one.keys), Tier.LIST if is_row else tier, one.in_footer
                )
    yield Command("Theme", f"Other colours: {', '.join(THEME_NAMES)}", app.action_change_theme)
    yield Command("Screenshot", "Save what is on the screen as an SVG picture", picture)
    for row in screen.fleet.rows():
        about = escape(f"{row.state} {row.said}".strip())
        yield Command(f"Open {row.name}", about, partial(open_host, row.name))
