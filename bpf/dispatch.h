/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program at sys_exit, and one at sys_enter, for all probes that need one there. Every call of the machine pays for
 * each program at these tracepoints, while a tail call costs next to nothing. So the program there (filter.c) looks at the
 * number, and makes a tail call to the programs of the probes, in the order of their slots: those of execs only if the
 * call may be one. Each goes on to the next. An empty slot falls through: its probe is not attached.
 *
 * The index of each tail call is a constant, which lets the kernel make a direct jump of it.
 */
enum dispatch_slot { DISPATCH_USERS, DISPATCH_FAILURES, DISPATCH_SYSCALLS, DISPATCH_SLOTS };

/* The real ones are those of filter.c. */
BPF_PROG_ARRAY(at_sys_enter, DISPATCH_SLOTS);
BPF_PROG_ARRAY(at_sys_exit, DISPATCH_SLOTS);

INLINE int go_on_at_sys_enter(void *ctx, enum dispatch_slot next)
{
	if (next <= DISPATCH_USERS)
		at_sys_enter.call(ctx, DISPATCH_USERS);
	if (next <= DISPATCH_FAILURES)
		at_sys_enter.call(ctx, DISPATCH_FAILURES);
	at_sys_enter.call(ctx, DISPATCH_SYSCALLS);
	return 0;
}

INLINE int go_on_at_sys_exit(void *ctx, enum dispatch_slot next)
{
	if (next <= DISPATCH_USERS)
		at_sys_exit.call(ctx, DISPATCH_USERS);
	if (next <= DISPATCH_FAILURES)
		at_sys_exit.call(ctx, DISPATCH_FAILURES);
	at_sys_exit.call(ctx, DISPATCH_SYSCALLS);
	return 0;
}
