"""Recordings: written so that little is lost, read so that nothing harms, and searched by time."""

from ebpftop.recording.parse import Damage, Fault
from ebpftop.recording.subset import narrow_to
from ebpftop.recording.timeline import Narrow, Timeline
from ebpftop.recording.writer import RecordingWriter

__all__ = ["Damage", "Fault", "Narrow", "RecordingWriter", "Timeline", "narrow_to"]
