/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How calls end: durations and errors, and tasks that wait or end in the middle of one: a room of syscalls.c.
 */

INLINE u32 log2_of(u64 n)
{
	u32 log = 0;

#pragma unroll
	for (u32 step = 32; step; step /= 2) {
		u32 more = n >> step ? step : 0;

		n >>= more;
		log += more;
	}
	return log;
}

INLINE void count_latency(u32 slot, u64 delta_ns)
{
	struct latency *latency = latencies.lookup(&slot);
	u64 bucket = log2_of(delta_ns);

	if (!latency)
		return;
	latency->total_ns += delta_ns;
	if (delta_ns > latency->max_ns)
		latency->max_ns = delta_ns;
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	latency->ns[bucket] += 1;
}

INLINE void count_failure(const struct caller *caller, u32 slot, u32 error)
{
	struct failure key = {.slot = slot, .error = error};
	u64 one = 1;
	u64 *count = failures.lookup(&key);

	if (count)
		*count += 1;
	else if (failures.update(&key, &one))
		count_lost(LOST_MAP);
#ifdef WITH_PROCESSES
	struct process_call who = process_call_of(caller, slot);
	struct process_count *process = process_calls.lookup(&who);

	if (process)
		process->errors += 1;
#endif
}

int sys_exit(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = CURRENT_CALLER(ctx);
	u64 task = (u64)caller.task;
	struct call *call = running.lookup(&zero);
	u64 enter_ns;
	u32 slot, is_traced;

	if (!call || !caller.task)
		return 0;
	if (call->skipped == task) {
		call->skipped = 0;
		return 0;
	}
	if (call->task == task) {
		enter_ns = call->enter_ns;
		slot = call->slot;
		is_traced = call->traced;
		call->task = 0;
	} else {
		/* It slept, it never entered (a child of fork), or it entered before we came. */
		struct waiting_call *waited = waiting.lookup(&task);

		if (!waited)
			return 0;
		enter_ns = waited->enter_ns;
		slot = waited->slot;
		is_traced = waited->traced;
		waiting.delete(&task);
	}
	u64 delta_ns = bpf_ktime_get_ns() - enter_ns;
	s64 ret = EXIT_RET(ctx);

#ifdef WITH_LATENCY
	count_latency(slot, delta_ns);
	/* rt_sigreturn leaves with number -1 and the interrupted call's result: no failure of its own. */
	if (ret < 0 && ret >= -4095 && EXIT_NR(ctx) != -1)
		count_failure(&caller, slot, -ret);
#endif
	if (is_traced)
		send_traced(ctx, task, true, delta_ns, ret);
	return 0;
}

/* The task leaves the CPU; if it is in a call, the call goes with it. raw tracepoint args: preempt, prev, next */
int call_waits(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task(); /* still the one that leaves */
	struct call *call = running.lookup(&zero);

	if (!call)
		return 0;
	if (call->skipped == task)
		call->skipped = 0;
	if (call->task != task)
		return 0;
	struct waiting_call waits = {
		.enter_ns = call->enter_ns,
		.slot = call->slot,
		.traced = call->traced,
		.pid = call->pid,
		.tid = call->tid,
	};

	call->task = 0;
	bpf_get_current_comm(waits.comm, COMM_LEN);
	if (waiting.update(&task, &waits))
		count_lost(LOST_MAP);
	return 0;
}

/* exit, exit_group, and whoever is killed inside a call: nothing will return any more. */
int call_ends(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task();
	struct call *call = running.lookup(&zero);

	if (call && call->task == task)
		call->task = 0;
	waiting.delete(&task);
	send_traced(ctx, task, false, 0, 0);
	return 0;
}
