#!/bin/sh
# Argument 1: how many of this package are installed afterwards: 0 if it was removed.
if [ "$1" -eq 0 ]; then
    # Programs that were compiled for this kernel: as root, and by the service (DynamicUser keeps them in private/).
    rm -rf /var/cache/ebpftop /var/cache/private/ebpftop
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
