"""Contracts: records, what a source is, text that is safe to draw. Of ebpftop, it imports `filters.spec` alone."""
