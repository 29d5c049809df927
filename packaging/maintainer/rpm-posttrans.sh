#!/bin/sh
# After all of a transaction: an older version's files are gone by now, but not what Python made of them.
find /usr/lib/ebpftop -depth -type d -name __pycache__ -exec rm -rf {} + || :
find /usr/lib/ebpftop -mindepth 1 -depth -type d -empty -delete || :
# Importing the screen takes four times as long without compiled files.
/usr/bin/python3 -I -m compileall -qq -j 0 /usr/lib/ebpftop || :
