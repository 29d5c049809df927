"""Makes the packages of ebpftop: a wheel, a single file (pex), .deb and .rpm. script/package runs it."""
