#!/bin/sh
# Argument 1: remove, upgrade or deconfigure. deb-prerm(5)
set -e

if [ "$1" = remove ]; then
    if [ -d /run/systemd/system ]; then
        systemctl disable --now ebpftop.service || true
    else
        rm -f /etc/systemd/system/*.wants/ebpftop.service
    fi
fi
# What Python compiled, for whichever of its versions: dpkg does not know these files.
find /usr/lib/ebpftop -depth -type d -name __pycache__ -exec rm -rf {} +
