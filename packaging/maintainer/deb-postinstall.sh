#!/bin/sh
# Argument 1: configure; 2: the version that was configured before, if any. deb-postinst(5)
set -e

if [ "$1" = configure ]; then
    # Importing the screen takes four times as long without compiled files.
    /usr/bin/python3 -I -m compileall -qq -j 0 /usr/lib/ebpftop || true
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
        [ -z "$2" ] || systemctl try-restart ebpftop.service || true
    fi
fi
