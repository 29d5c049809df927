"""What may be typed to filter eBPF programs: the fields of their rows."""

from __future__ import annotations

from ebpftop.filters.kinds import AnyOf, Choice, Number, Text, duration, share, size
from ebpftop.filters.query import Field, Language, text_field
from ebpftop.models.programs import Program, is_new


def _owners(program: Program, _: float) -> tuple[str, ...]:
    return tuple(text for owner in program.row.owners for text in (owner.comm, str(owner.pid)))


def _state(program: Program, now: float) -> str:
    return "gone" if program.gone is not None else "new" if is_new(program, now) else "loaded"


def _searchable(program: Program) -> str:
    row = program.row
    owners = " ".join(f"{owner.comm} {owner.pid}" for owner in row.owners)
    return f"{row.id} {row.type} {row.name} {row.tag} {owners} {' '.join(row.attached)}"


BPF_PROGRAMS: Language[Program] = Language(
    (
        text_field("name", lambda p: p.row.name, "the name of its function"),
        text_field("type", lambda p: p.row.type, "as bpftool prints it: kprobe, cgroup_*"),
        Field("id", Number(hint="214"), lambda p, _: p.row.id),
        Field("by", AnyOf(Text(hint="bpftrace or 812")), _owners, "a process that holds it: name or pid", ("pid",)),
        Field("attached", AnyOf(Text(hint="sys_enter or /system*")), lambda p, _: p.row.attached, "where it hangs"),
        Field("own", Choice(("yes", "no")), lambda p, _: "yes" if p.row.own else "no", "ebpftop loaded it"),
        Field("runs", Number(hint=">1k"), lambda p, _: p.rates.runs if p.rates else None, "runs a second", ("rate",)),
        Field("ns", Number(hint=">1k"), lambda p, _: p.rates.ns_per_run if p.rates else None, "ns of a run"),
        Field("cpu", share(), lambda p, _: p.rates.cpu if p.rates else None, "share of one CPU"),
        Field("misses", Number(hint=">0"), lambda p, _: p.row.misses, "runs left out"),
        Field("maps", size(), lambda p, _: p.row.map_bytes, "memory of its maps"),
        Field("insns", Number(hint=">1k"), lambda p, _: p.row.insns, "instructions"),
        Field("loaded", duration(), lambda p, now: now - p.row.loaded, "how long ago", varies=True),
        Field("state", Choice(("loaded", "new", "gone")), _state, "", varies=True),
        Field("uid", Number(hint="0"), lambda p, _: p.row.uid, "user who loaded it"),
        text_field("tag", lambda p: p.row.tag, "hash of its instructions"),
    ),
    _searchable,
    lambda p: p.row.name,
)
