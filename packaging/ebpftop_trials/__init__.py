"""Installs, uses and removes the packages of ebpftop in fresh systems: script/release-test runs it, as root."""
