"""Workarounds: what Textual lacks, or does in another way than a terminal program should."""
