/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handlers of families of calls: programs and timers. BCC's own bpf_trace_printk cannot stand in a macro. Included by
 * syscalls.c.
 */

enum family { FAMILY_EXEC, FAMILY_TIMER_CREATE, FAMILY_TIMER_DELETE, FAMILY_TIMER_OTHER, FAMILIES };

BPF_PERCPU_ARRAY(families, u64, FAMILIES);

#define PRINTK(text)                                   \
	if (PARAMETER(PRINTK)) {                       \
		char line[] = text;                    \
		bpf_trace_printk_(line, sizeof(line)); \
	}

INLINE int handle_family(struct enter_ctx *ctx, u32 family)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u64 *count = families.lookup(&family);

	if (count)
		*count += 1;
	if (caller.task)
		entered(&caller, slot_of(ENTER_NR(ctx), caller.compat), 0);
	return 0;
}

int handle_exec(struct enter_ctx *ctx)
{
	PRINTK("Executing a program");
	return handle_family(ctx, FAMILY_EXEC);
}

int handle_timer_create(struct enter_ctx *ctx)
{
	PRINTK("Creating a timer");
	return handle_family(ctx, FAMILY_TIMER_CREATE);
}

int handle_timer_delete(struct enter_ctx *ctx)
{
	PRINTK("Deleting a timer");
	return handle_family(ctx, FAMILY_TIMER_DELETE);
}

int handle_timer_other(struct enter_ctx *ctx)
{
	PRINTK("Some other timer operation");
	return handle_family(ctx, FAMILY_TIMER_OTHER);
}
