"""Everything known about one system call."""

from __future__ import annotations

from ebpftop.models.figures import bar, count, nanoseconds, per_second, share
from ebpftop.models.latency import quantile
from ebpftop.models.syscalls import Call, SyscallsModel
from ebpftop.widgets.sheet import Details, Sheet


def syscall_details(model: SyscallsModel, call: Call) -> Details:
    """Build the details of *call*."""
    name = call.row.name
    return Details(
        title=f"{name} ({call.row.abi} {call.row.nr})",
        sheet=lambda: _sheet(model, call),
        copies=name,
        copies_what="Name",
    )


def _sheet(model: SyscallsModel, call: Call) -> Sheet:
    row = call.row
    sheet = Sheet()
    sheet.heading("Calls")
    sheet.fact("count", f"{row.count:,}", "bold", "since the start")
    sheet.fact("rate", f"{per_second(call.rate)}/s", note="over the last reading")
    errors = ", ".join(f"{name} {n:,}" for name, n in sorted(row.errnos.items(), key=lambda item: -item[1]))
    sheet.fact("errors", f"{row.errors:,}", "$error" if row.errors else "", errors)
    sheet.fact("handled by", {"count": "the counter"}.get(row.handler, f"the {row.handler} program"))

    total = sum(row.ns)
    if total:
        sheet.heading(f"Latency of {total:,} calls that returned")
        for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
            sheet.fact(name, nanoseconds(quantile(row.ns, q)))
        sheet.fact("longest", nanoseconds(row.max_ns) if row.max_ns else None)
        peak = max(row.ns)
        sheet.line(("", ""))
        first = next(i for i, n in enumerate(row.ns) if n)
        last = max(i for i, n in enumerate(row.ns) if n)
        for i in range(first, last + 1):
            n = row.ns[i]
            sheet.line(
                (f"{nanoseconds(2**i):>6} … {nanoseconds(2 ** (i + 1)):>5}  ", "$dim"),
                (f"{bar(n / peak, 40):<40} ", "$primary"),
                (f"{count(n):>6} {share(n / total):>6}", ""),
            )

    latest = model.latest
    behind = [p for p in latest.processes if (p.abi, p.nr) == call.key] if latest else []
    if behind:
        sheet.heading("Processes behind it")
        for p in sorted(behind, key=lambda p: -p.count)[:20]:
            sheet.line((f"{p.pid:>8}  ", "$dim"), (f"{p.comm:<16}", "bold"), (f"{p.count:>12,}", ""))
    waiting = [w for w in latest.in_flight if (w.abi, w.nr) == call.key] if latest else []
    if waiting:
        sheet.heading("Waiting in it now")
        for w in sorted(waiting, key=lambda w: -w.ns)[:20]:
            sheet.line((f"{w.tid:>8}  ", "$dim"), (f"{w.comm:<16}", "bold"), (f"{nanoseconds(w.ns):>8}", "$warning"))
    return sheet
