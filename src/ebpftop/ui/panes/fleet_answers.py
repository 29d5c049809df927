"""What Prometheus answers about one host, as a sheet."""

from __future__ import annotations

from collections.abc import Sequence

from ebpftop.core.format import brief, nanoseconds
from ebpftop.core.source import SourceError
from ebpftop.fleet.prometheus import PrometheusReading, Sample
from ebpftop.ui.widgets.sheet import Sheet

_IN_SECONDS = "in seconds"


class HostAnswers:
    """The last answers about the host *name*. A thread asks; the screen shows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = f"{name}, as Prometheus knows it"
        self._answers: Sequence[tuple[str, Sequence[Sample]]] | None = None
        self._trouble = ""

    def ask(self, reading: PrometheusReading) -> None:
        """Ask once."""
        try:
            self._answers, self._trouble = reading.ask_host(self.name), ""
        except SourceError as error:
            self._trouble = str(error)

    def sheet(self) -> Sheet:
        """Return the answers, each question with its heading."""
        sheet = Sheet()
        if self._trouble:
            sheet.line((self._trouble, "$error"))
        elif self._answers is None:
            sheet.line(("asking Prometheus …", "$dim"))
        for heading, samples in self._answers or ():
            sheet.heading(heading)
            if not samples:
                sheet.line(("none", "$dim"))
            for sample in sorted(samples, key=lambda one: -one.value):
                labels = " ".join(text for name, text in sample.labels.items() if name not in _SAME and text)
                value = nanoseconds(sample.value * 1e9) if heading.endswith(_IN_SECONDS) else brief(sample.value)
                sheet.line((f"{value:>8}  ", "bold"), (labels or "all", ""))
        return sheet


_SAME = frozenset(("__name__", "instance", "job"))
"""Labels that are those of the host."""
