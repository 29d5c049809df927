/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Traced calls that enter and will change what is reported of them: programs that sys_enter reaches by tail calls, each
 * goes on to the next. See syscalls_before.h. Included by syscalls.c.
 */

#define STRINGS 32 /* of an array, as strace shows them */
#define STRING_ROOM 40 /* a string of 32 bytes, one more to see whether it is longer, the NUL */
#define STRING_LEN 34
#define POINTERS_PER_RUN 256
#define POINTERS_MOST 4096 /* that are counted */

int handle_trace_before(struct enter_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 slot = slot_of(ENTER_NR(ctx), caller.compat);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = entered_scratch.lookup(&cpu);

	if (!caller.task || !scratch)
		return 0;
	struct traced_call *call = &scratch->call;
	u32 returned = call->returned;

	read_call(call, ctx, &caller, slot);
	read_paths(call);
	call->returned = returned;
	scratch->values_len = 0;
	scratch->names_len = 0;
	scratch->next_value = 0;
	scratch->goes_on = 0;
	enter_slow_path.call(ctx, ENTER_VALUE);
	entered(&caller, slot, NOT_TRACED);
	return 0;
}

/* The memory of one argument; then that of the next one, or the descriptors. */
int handle_trace_value(struct enter_ctx *ctx)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = entered_scratch.lookup(&cpu);

	if (!scratch)
		return 0;
	u32 slot = scratch->call.slot;
	u64 value = scratch->next_value;
	struct value_plans *plans = call_values.lookup(&slot);

	if (plans && value < VALUES && plans->plan[value].size) {
		const struct value_plan *plan = &plans->plan[value];

		if (plan->size == VALUE_STRINGS || plan->size == VALUE_POINTERS)
			enter_slow_path.call(ctx, ENTER_STRINGS);
		scratch->next_value = value + 1;
#ifndef VIA_TRACEPOINT
		if (plan->size == VALUE_ON_STACK)
			append_value(scratch, piece_of(plan), 0,
				     read_u64((void *)ctx->args[0], OFF_REGS_SP) + 8 * plan->unit, plan->most,
				     plan->most);
#endif
		if (plan->flags & VALUE_BEFORE)
			append_planned(scratch, plan);
		enter_slow_path.call(ctx, ENTER_VALUE);
	}
	enter_slow_path.call(ctx, ENTER_FILES);
	return 0;
}

/* Read a pointer of an array; false if that is impossible. */
INLINE bool read_word(u64 *word, u64 at, u32 narrow)
{
	*word = 0;
	return !read_user(word, narrow ? 4 : 8, (void *)at);
}

/* Append one string, of which user space sees where it is if it could not be read. */
INLINE void append_string(struct scratch *scratch, u32 arg, u32 part, u64 from)
{
	u64 at = scratch->values_len;

	if (at > KEPT_ROOM - sizeof(struct value_head) - STRING_ROOM)
		return;
	BOUND(at, KEPT_ROOM - 1);
	struct value_head *head = (struct value_head *)(scratch->data + at);
	long size = read_user_string(scratch->data + at + sizeof(*head), STRING_LEN, (void *)from);
	u64 is_read = size > 0;
	u64 len = is_read ? size - 1 : 0;

	head->arg = arg;
	head->part = part;
	head->len = len;
	head->lists = LISTS_NONE;
	head->whole = is_read ? len : from;
	scratch->values_len = at + sizeof(*head) + ((len + 7) & ~7);
}

/* The strings of an array of pointers. What a round leaves for the next is in memory: see walk.h. */
INLINE void append_strings(struct scratch *scratch, u32 piece, u64 from, u32 narrow, struct array_end *end)
{
	u64 word;

#pragma nounroll
	for (u32 i = 0; i <= STRINGS;) {
		if (!read_word(&word, from + (u64)i * (narrow ? 4 : 8), narrow)) {
			end->flags = ARRAY_UNREADABLE;
			break;
		}
		if (!word)
			break;
		if (i == STRINGS) {
			end->flags = ARRAY_GOES_ON;
			break;
		}
		append_string(scratch, piece, i + 1, word);
		i++;
		end->count = i;
		LOOP_END();
	}
}

/* Count pointers, going on where the run before ended; whether there are more. */
INLINE bool count_pointers(u64 from, u32 narrow, struct array_end *end)
{
	u64 word;

#pragma nounroll
	for (u32 i = 0; i < POINTERS_PER_RUN;) {
		volatile u32 *count = &end->count;

		if (!read_word(&word, from + (u64)*count * (narrow ? 4 : 8), narrow)) {
			end->flags = ARRAY_UNREADABLE;
			return false;
		}
		if (!word)
			return false;
		*count += 1;
		i++;
		LOOP_END();
	}
	if (end->count < POINTERS_MOST)
		return true;
	end->flags = ARRAY_GOES_ON;
	return false;
}

/* An array of pointers: its strings, or how many they are. */
int handle_trace_strings(struct enter_ctx *ctx)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = entered_scratch.lookup(&cpu);

	if (!scratch)
		return 0;
	u32 slot = scratch->call.slot;
	u64 value = scratch->next_value;
	struct value_plans *plans = call_values.lookup(&slot);

	if (!plans || value >= VALUES)
		return 0;
	const struct value_plan *plan = &plans->plan[value];
	u32 narrow = plan->flags & VALUE_OF_32_BIT, piece = piece_of(plan);
	u64 from = argument_of(&scratch->call, plan->arg), at = scratch->values_len;

	if (from && at <= KEPT_ROOM - sizeof(struct value_head) - sizeof(struct array_end)) {
		BOUND(at, KEPT_ROOM - 1);
		struct value_head *head = (struct value_head *)(scratch->data + at);
		struct array_end *end = (struct array_end *)(scratch->data + at + sizeof(*head));

		if (!scratch->goes_on) {
			*head = (struct value_head){.arg = piece, .len = sizeof(*end), .whole = sizeof(*end)};
			*end = (struct array_end){};
		}
		scratch->goes_on = 0;
		if (plan->size == VALUE_STRINGS) {
			scratch->values_len = at + sizeof(*head) + sizeof(*end);
			append_strings(scratch, piece, from, narrow, end);
		} else if (count_pointers(from, narrow, end)) {
			scratch->goes_on = 1;
			enter_slow_path.call(ctx, ENTER_STRINGS);
		} else {
			scratch->values_len = at + sizeof(*head) + sizeof(*end);
		}
	}
	scratch->next_value = value + 1;
	enter_slow_path.call(ctx, ENTER_VALUE);
	return 0;
}

/* The descriptors, if they are other ones when the call returns; then it waits for that. */
int handle_trace_files(struct enter_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = entered_scratch.lookup(&cpu);

	if (!caller.task || !scratch)
		return 0;
	u32 slot = scratch->call.slot;
	struct value_plans *plans = call_values.lookup(&slot);

	if (plans && plans->files_before) {
		set_arguments(scratch, plans, caller.task);
		set_fd(scratch, FILE_RETURNED, caller.task, 0, -1, false);
		set_file(scratch, FILE_OF_PROCESS, NULL);
		start_walk(scratch, caller.task, scratch->values_len, 0);
		append_names(scratch, 0);
		scratch->names_len = scratch->walk.at - scratch->values_len;
	}
	keep_before(scratch, (u64)caller.task);
	entered(&caller, slot, keep(&scratch->call, (u64)caller.task) ? TRACED_SURELY : NOT_TRACED);
	return 0;
}
