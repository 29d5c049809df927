/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that are reported one by one, with their arguments. Included by syscalls.c.
 */

#define PATHS 2
#define PATH_LEN 256  /* with the NUL; one more byte is read, to see whether the path was cut */
#define CALL_PATH_ROOM 264

/* KEPT_FOR_CONDITIONS: it has not returned, and may never be reported. */
enum returned { NEVER_RETURNED, RETURNED, RETURNED_UNTIMED, KEPT_FOR_CONDITIONS };
/* How a call that has entered is traced. */
/* TRACED_BEFORE: another program looks at what the call will change. */
enum traced_how { NOT_TRACED, TRACED_SURELY, TRACED_IF, TRACED_BEFORE };

struct traced_call {
	u64 time_ns;
	u64 duration_ns;
	s64 ret;
	u64 args[ARGS];
	u32 pid;
	u32 tid;
	u32 slot;
	u32 returned; /* enum returned */
	u32 path_len[PATHS]; /* with the NUL; 0: not read */
	char comm[COMM_LEN];
	char path[PATHS][CALL_PATH_ROOM];
};

BPF_HASH(traced, u64, struct traced_call, 8192);
/* 1 from the first traced call on: until then no task that ends need be looked up. */
BPF_ARRAY(has_traced, u32, 1);

INLINE bool is_tracing(void)
{
	u32 zero = 0;
	u32 *has = has_traced.lookup(&zero);

	return has && *has;
}

INLINE void read_paths(struct traced_call *call)
{
	u32 slot = call->slot;
	u32 *which = call_facts.lookup(&slot);

	if (!which || (call->returned && call->ret >= 0 && *which & PATHS_GO_WITH_SUCCESS))
		return;
#pragma unroll
	for (int i = 0; i < PATHS; i++) {
		u64 argument = *which >> 4 * i & 15;

		if (!argument || call->path_len[i])
			continue;
		argument -= 1;
		if (argument >= ARGS)
			continue;
		long len = read_user_string(call->path[i], PATH_LEN + 1, (void *)call->args[argument]);

		if (len > 0)
			call->path_len[i] = len;
	}
}

INLINE void read_args(struct traced_call *call, struct enter_ctx *ctx, bool compat)
{
#ifdef VIA_TRACEPOINT
#pragma unroll
	for (int i = 0; i < ARGS; i++)
		call->args[i] = ctx->args[i];
#else
	void *regs = (void *)ctx->args[0];

	if (compat) {
		call->args[0] = read_u32(regs, OFF_REGS_COMPAT_ARG1);
		call->args[1] = read_u32(regs, OFF_REGS_COMPAT_ARG2);
		call->args[2] = read_u32(regs, OFF_REGS_COMPAT_ARG3);
		call->args[3] = read_u32(regs, OFF_REGS_COMPAT_ARG4);
		call->args[4] = read_u32(regs, OFF_REGS_COMPAT_ARG5);
		call->args[5] = read_u32(regs, OFF_REGS_COMPAT_ARG6);
	} else {
		call->args[0] = read_u64(regs, OFF_REGS_ARG1);
		call->args[1] = read_u64(regs, OFF_REGS_ARG2);
		call->args[2] = read_u64(regs, OFF_REGS_ARG3);
		call->args[3] = read_u64(regs, OFF_REGS_ARG4);
		call->args[4] = read_u64(regs, OFF_REGS_ARG5);
		call->args[5] = read_u64(regs, OFF_REGS_ARG6);
	}
#endif
}

INLINE void read_call(struct traced_call *call, struct enter_ctx *ctx, const struct caller *caller, u32 slot)
{
	call->time_ns = bpf_ktime_get_ns();
	call->pid = caller->tgid;
	call->tid = caller->tid;
	call->slot = slot;
	call->returned = 0;
	call->ret = 0;
	call->duration_ns = 0;
	call->path_len[0] = 0;
	call->path_len[1] = 0;
	bpf_get_current_comm(call->comm, COMM_LEN);
	read_args(call, ctx, caller->compat);
}

BPF_PERCPU_ARRAY(entered_call, struct traced_call, 1);

/* Keep a call until it returns; false if that is impossible. */
INLINE bool keep(struct traced_call *call, u64 task)
{
	u32 zero = 0;
	u32 *has = has_traced.lookup(&zero);

	if (has)
		*has = 1;
	if (traced.update(&task, call)) {
		count_lost(LOST_MAP);
		return false;
	}
	return true;
}

INLINE bool keep_call(struct enter_ctx *ctx, const struct caller *caller, u32 slot, u32 returned)
{
	u32 zero = 0;
	struct traced_call *call = entered_call.lookup(&zero);

	if (!call)
		return false;
	read_call(call, ctx, caller, slot);
	read_paths(call);
	call->returned = returned;
	return keep(call, (u64)caller->task);
}

/* Whether the registers still have the arguments when a call returns, and memory what they point to. */
INLINE bool can_be_read_at_return(u32 facts)
{
#ifdef VIA_TRACEPOINT
	return false;
#else
	return !(facts & PATHS_GO_WITH_SUCCESS);
#endif
}

/* Return how a call that enters is traced; *returned*: as what it is kept if it is TRACED_BEFORE. */
INLINE enum traced_how trace_at_entry(struct enter_ctx *ctx, const struct caller *caller, u32 slot, u32 *returned)
{
	u32 zero = 0;
	u32 *known = call_facts.lookup(&slot);
	struct condition_kinds *kinds = condition_kinds.lookup(&zero);

	if (!known || !kinds)
		return NOT_TRACED;
	u32 asked = *known >> CONDITIONS_SHIFT;
	u32 may_hold = conditions_of_process(asked, kinds, caller->tgid);
	bool surely = !asked || may_hold & ~kinds->at_return;

	if (asked && !may_hold)
		return NOT_TRACED;
	if (!surely && can_be_read_at_return(*known))
		return TRACED_IF;
	if (surely && !within_budget(PARAMETER(TRACED_PER_SECOND)))
		return NOT_TRACED;
	*returned = surely ? NEVER_RETURNED : KEPT_FOR_CONDITIONS;
	if (*known & LOOKED_AT_BEFORE)
		return TRACED_BEFORE;
	if (!keep_call(ctx, caller, slot, *returned))
		return NOT_TRACED;
	return surely ? TRACED_SURELY : TRACED_IF;
}
