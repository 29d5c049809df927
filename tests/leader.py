"""A shell reduced to what job control needs: gives a program a terminal, as a job or as the leader of the session.

    python leader.py TERMINAL REPORT_FD job|alone GIVEN PROGRAM ARGUMENT...

GIVEN names those of the descriptors 0 and 1 that are not to be the terminal. Writes the program's process id to
REPORT_FD. It dies of SIGHUP, as a shell does when its terminal is closed.
"""

import fcntl
import os
import signal
import sys
import termios
import time

terminal, report, shape, given, *command = sys.argv[1:]
# Whoever started the tests may ignore them (nohup, a shell's "&"), and the program would inherit that.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
os.setsid()
# Not in a place that a closed stdin, stdout or stderr left: there it is to stay when the program is executed.
terminal_fd = fcntl.fcntl(os.open(terminal, os.O_RDWR), fcntl.F_DUPFD_CLOEXEC, 10)
fcntl.ioctl(terminal_fd, termios.TIOCSCTTY, 0)
# Unless given: stdin or stdout may be a pipe of the test.
for fd in (0, 1, 2):
    if str(fd) not in given:
        os.dup2(terminal_fd, fd)
os.close(terminal_fd)

if shape == "alone":
    os.write(int(report), b"%d\n" % os.getpid())
    os.close(int(report))
    os.execv(command[0], command)

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(2 if os.isatty(2) else 0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.write(int(report), b"%d\n" % os.getpid())
    os.close(int(report))
    os.execv(command[0], command)
os.close(int(report))
while True:  # the test reaps the program when this is gone
    time.sleep(3600)
