"""Contracts: records, what a source is, text that is safe to draw. Imports nothing of ebpftop."""
