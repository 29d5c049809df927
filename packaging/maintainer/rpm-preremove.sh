#!/bin/sh
# Argument 1: how many of this package are installed afterwards: 0 if it is removed.
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl disable --now ebpftop.service || :
    else
        rm -f /etc/systemd/system/*.wants/ebpftop.service
    fi
    # What Python compiled, for whichever of its versions: rpm does not know these files.
    find /usr/lib/ebpftop -depth -type d -name __pycache__ -exec rm -rf {} + || :
fi
