"""Recordings: write them with little loss, read them safely even if damaged, and search them by time."""

from ebpftop.recording.parse import ReadError, ReadErrors
from ebpftop.recording.timeline import RecordFilter, Timeline
from ebpftop.recording.writer import RecordingWriter

__all__ = ["ReadError", "ReadErrors", "RecordFilter", "RecordingWriter", "Timeline"]
