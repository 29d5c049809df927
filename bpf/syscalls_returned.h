/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Traced calls that have returned: whether they are reported, and what is put together of them. Programs that sys_exit
 * reaches by tail calls. Included by syscalls.c.
 */

/* A program of its own, since the whole machine waits for sys_exit. */
INLINE void return_traced(struct exit_ctx *ctx, u32 slot, u64 delta_ns)
{
	u32 zero = 0;
	struct returned_call *returned = returned_call.lookup(&zero);

	if (!returned)
		return;
	returned->delta_ns = delta_ns;
	returned->slot = slot;
	exit_slow_paths.call(ctx, SLOW_PATH_TRACED);
}

/* Which of *may_hold* are met by what needs no memory of the caller; in `met`. */
INLINE void find_met_by_result(struct returned_call *returned, u32 may_hold, u32 error)
{
	returned->met = 0;
#pragma unroll
	for (u32 i = 0; i < CONDITIONS; i++) {
		u32 place = i;
		struct condition *condition = conditions.lookup(&place);

		if (condition && may_hold >> i & 1 && is_met_by_result(condition, returned->delta_ns, error))
			returned->met |= 1 << i;
	}
}

/* Take those out of `met` that the paths do not meet. */
INLINE void find_met_by_paths(struct returned_call *returned, const struct traced_call *call)
{
#pragma unroll
	for (u32 i = 0; i < CONDITIONS; i++) {
		u32 place = i;
		struct condition *condition = conditions.lookup(&place);

		if (condition && returned->met >> i & 1 && condition->flags & (CONDITION_PATH | CONDITION_PATH_END) &&
		    !is_met_by_path(condition, call->path[0], call->path_len[0]) &&
		    !is_met_by_path(condition, call->path[1], call->path_len[1]))
			returned->met &= ~(1 << i);
	}
}

INLINE void start_values(struct returned_call *returned)
{
	returned->value = 0;
	returned->entries = 0;
	returned->entry_at = 0;
	returned->listed = 0;
	returned->list_at = 0;
	returned->list_within = 0;
	returned->listed_fd = -1;
}

/* A traced call returned: it is reported if it has no condition, or meets one. */
int sys_exit_traced(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = CURRENT_CALLER(ctx);
	u64 task = (u64)caller.task;
	struct returned_call *returned = returned_call.lookup(&zero);
	struct condition_kinds *kinds = condition_kinds.lookup(&zero);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *event = traced_scratch.lookup(&cpu);
	u32 error = EXIT_NR(ctx) == -1 ? 0 : error_of(EXIT_RET(ctx));

	if (!caller.task || !returned || !kinds || !event)
		return 0;
	u32 slot = returned->slot;
	u32 *facts = call_facts.lookup(&slot);
	struct traced_call *kept = traced.lookup(&task);
	struct traced_call *call = &event->call;

	if (!facts)
		return 0;
	u32 asked = *facts >> CONDITIONS_SHIFT;
	/* One that was asked for with a condition, and no more when it returns, is not reported. */
	bool surely = kept ? kept->returned != KEPT_FOR_CONDITIONS : !asked && *facts & TRACED;

	if (!surely) {
		find_met_by_result(returned, conditions_of_process(asked, kinds, caller.tgid), error);
		if (!returned->met)
			goto out;
	}
	if (kept) {
		*call = *kept;
	} else {
#ifdef VIA_TRACEPOINT
		goto out;
#else
		read_call(call, ctx, &caller, slot);
		call->time_ns -= returned->delta_ns;
#endif
	}
	call->returned = returned->delta_ns ? RETURNED : RETURNED_UNTIMED;
	call->duration_ns = returned->delta_ns;
	call->ret = EXIT_RET(ctx);
	read_paths(call); /* what was not resident at entry is now */
	if (!surely) {
		find_met_by_paths(returned, call);
		if (!returned->met)
			goto out;
	}
	/* What is reported in any case was counted against the budget when it entered. */
	if ((kept && surely) || within_budget(PARAMETER(TRACED_PER_SECOND))) {
		event->values_len = 0;
		event->was_kept = kept != NULL;
		if (kept && *facts & LOOKED_AT_BEFORE)
			append_kept_values(event, task);
		start_values(returned);
		exit_slow_paths.call(ctx, SLOW_PATH_VALUE);
		return 0;
	}
out:
	if (PARAMETER(STACKS))
		forget_kernel_stack(task);
	if (kept)
		forget_call(task);
	return 0;
}

/*
 * The memory of one argument of a call that is reported; then that of the next one, or the descriptors. These are programs
 * of their own, since the verifier would follow each once for all ways to come to it.
 */
int sys_exit_value(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct returned_call *returned = returned_call.lookup(&zero);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *event = traced_scratch.lookup(&cpu);

	if (!returned || !event)
		return 0;
	u32 slot = event->call.slot;
	u64 value = returned->value;
	struct value_plans *plans = call_values.lookup(&slot);

	if (plans && value < VALUES && plans->plan[value].size) {
		const struct value_plan *plan = &plans->plan[value];

		if (plan->size == VALUE_ENTRIES)
			exit_slow_paths.call(ctx, SLOW_PATH_ENTRIES);
		returned->value = value + 1;
		if (!(plan->flags & VALUE_BEFORE))
			append_planned(event, plan);
		exit_slow_paths.call(ctx, SLOW_PATH_VALUE);
	}
	returned->list_end = event->values_len;
	exit_slow_paths.call(ctx, plans && plans->has_lists ? SLOW_PATH_LISTED : SLOW_PATH_FILES);
	return 0;
}

/* Append the names of what the descriptors of a call are, or were before it. */
INLINE void append_files(struct scratch *event, char *task)
{
	u32 slot = event->call.slot;
	struct value_plans *plans = call_values.lookup(&slot);
	u64 at = event->values_len, names = 0, first = 0;
	s64 ret = event->call.ret;

	event->names_len = 0;
	if (!plans)
		return;
	if (plans->files_before && event->was_kept) {
		names = append_kept_names(event, (u64)task);
		first = FILE_RETURNED;
	} else {
		set_arguments(event, plans, task);
	}
	set_fd(event, FILE_RETURNED, task, plans->returns_fd && ret >= 0 ? FILE_OF_RESULT : 0, ret, false);
	set_file(event, FILE_OF_PROCESS,
		 PARAMETER(STACKS) ? read_pointer(load_pointer(task, OFF_TASK_MM), OFF_MM_EXE_FILE) : NULL);
	start_walk(event, task, at + names, first);
	append_names(event, first);
	event->names_len = event->walk.at - at;
}

/*
 * What the descriptors of a call that is reported are; then it is sent.
 */
int sys_exit_files(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = CURRENT_CALLER(ctx);
	struct returned_call *returned = returned_call.lookup(&zero);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *event = traced_scratch.lookup(&cpu);

	if (!caller.task || !returned || !event)
		return 0;
	append_files(event, caller.task);
	forget_call((u64)caller.task);
	u64 len = event->values_len + event->names_len;

	if (len > HEAD_MASK)
		len = HEAD_MASK;
	BOUND(len, HEAD_MASK);
	event->user_stack_len = 0;
	event->kernel_stack_len = 0;
	if (PARAMETER(STACKS)) {
		len = append_stacks(ctx, event, (u64)caller.task, len);
		forget_kernel_stack((u64)caller.task);
	}
	submit(ctx, event, __builtin_offsetof(struct scratch, data) + len);
	return 0;
}
