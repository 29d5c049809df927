"""Where the root folder of a compiler may be mounted."""

from __future__ import annotations

import sys

import pytest

from ebpftop.kernel.load.jail import free_places


def test_nothing_is_laid_over_what_is_imported_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/usr/lib/python3/dist-packages", "/tmp/checkout/src", "/run/user/0/venv"])
    monkeypatch.setattr(sys, "prefix", "/mnt/venv")
    places = set(map(str, free_places()))
    assert not places & {"/tmp", "/run", "/mnt"}
    assert "/media" in places
