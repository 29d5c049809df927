"""ebpftop: what programs start, who starts them, and what every process asks of the kernel."""

__version__ = "0.2.0"
