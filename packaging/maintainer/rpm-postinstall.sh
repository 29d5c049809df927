#!/bin/sh
# Argument 1: how many of this package are installed afterwards: 2 for an upgrade.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    [ "$1" -lt 2 ] || systemctl try-restart ebpftop.service || :
fi
