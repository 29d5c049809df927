/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a program runs: the file that runs, the current and the root directory, what fds 0 to 2 are, the terminal and
 * the session. Included by execs.c.
 *
 * A raw tracepoint may not call bpf_d_path, so paths are put together as the kernel does (fs/d_path.c): from the name of
 * the file up, over the mounts, to the root directory of the process. Nothing here is locked: a path that is renamed at
 * this moment may come out half old, half new.
 */
#define STEPS 80 /* of all paths together */
#define FAILED_STEPS 44 /* the same of an execve that failed: up to six programs have this loop */
#define TTY_LEN 16

#define PIDTYPE_SID 3 /* include/linux/pid_types.h, since 4.19 */
enum place_name { PLACE_EXE, PLACE_CWD, PLACE_ROOT, PLACE_FD0, PLACE_FD1, PLACE_FD2, PLACES };
#define PLACES_MASK 7 /* at least PLACES - 1 */
/* Behind struct event if it is of an execve. Layout known to src/ebpftop/probes/exec_places.py. */
struct places {
	struct place place[PLACES];
	u64 exe_inode;
	u32 sid;
	u32 unused;
	char tty[TTY_LEN];
};
