#!/bin/sh
# Argument 1: remove, purge or upgrade. deb-postrm(5)
set -e

if [ "$1" = purge ]; then
    # Programs that were compiled for this kernel: as root, and by the service (DynamicUser keeps them in private/).
    rm -rf /var/cache/ebpftop /var/cache/private/ebpftop
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
