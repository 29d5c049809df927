/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In which call a thread is blocked, and how long it was in which. Included by states.c.
 */

INLINE void move_call(const struct thread *thread, struct blocked *from)
{
	struct process_call key = {.start_ns = thread->start_ns, .tgid = thread->tgid, .call = from->call};
	struct call_time *sum = moved_calls.lookup(&key);

	if (!sum) {
		struct call_time none = {};

		moved_calls.insert(&key, &none); /* another thread may be first */
		sum = moved_calls.lookup(&key);
	}
	if (!sum) {
		count_lost(LOST_MAP);
		return;
	}
	__sync_fetch_and_add(&sum->ns, from->ns);
	__sync_fetch_and_add(&sum->count, from->count);
	if (from->max_ns > sum->max_ns)
		sum->max_ns = from->max_ns;
}

INLINE struct blocked *place_of_call(struct thread *thread)
{
#pragma unroll
	for (int i = 0; i < CALLS; i++) {
		struct blocked *place = &thread->calls[i];

		if (!place->count)
			place->call = thread->call;
		if (place->call == thread->call)
			return place;
	}
	u64 victim = thread->moved;

	BOUND(victim, CALLS - 1);
	struct blocked *place = &thread->calls[victim];

	move_call(thread, place);
	thread->moved += 1;
	place->ns = place->max_ns = place->count = 0;
	place->call = thread->call;
	return place;
}

INLINE void end_block(struct thread *thread, u64 now_ns)
{
	u64 delta_ns = now_ns - thread->since_ns;
	struct blocked *place = place_of_call(thread);

	thread->blocked_ns += delta_ns;
	place->ns += delta_ns;
	place->count += 1;
	if (delta_ns > place->max_ns)
		place->max_ns = delta_ns;
	thread->state = RUNNABLE;
	thread->since_ns = now_ns;
}

/* The call that the current task, which leaves its CPU, is in. Elsewhere than in a call the number is -1. */
INLINE u32 current_call(void *task)
{
	if (!load_pointer(task, OFF_TASK_MM))
		return NO_CALL;
#ifdef HAVE_TASK_REGISTERS
	char *registers = registers_of(trusted_current_task());
	u32 nr = load_u32(registers, OFF_REGS_NR);
	u64 stack = load_u64(registers, OFF_REGS_SP);
#else
	char *registers = (char *)read_pointer(task, OFF_TASK_STACK) + STACK_TO_REGISTERS;
	u32 nr = read_u32(registers, OFF_REGS_NR);
	u64 stack = read_u64(registers, OFF_REGS_SP);
#endif

	/* Threads that the kernel has made of a process have no registers, and seem to be in call 0. */
	if (nr == NO_CALL || !stack)
		return NO_CALL;
#ifdef OFF_TASK_COMPAT
	if (load_u32(task, OFF_TASK_COMPAT) & COMPAT_MASK)
		nr |= COMPAT_CALL;
#endif
	return nr;
}
