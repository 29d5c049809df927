/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A budget of events a second, for events that programs can cause without limit. Included by the probes that report
 * such events.
 */
#ifndef EBPFTOP_BUDGET_H
#define EBPFTOP_BUDGET_H

#include "ebpftop.h"

struct budget {
	u64 second;
	u64 used;
};

BPF_PERCPU_ARRAY(budgets, struct budget, 1);

/* Whether one more event may be reported on this CPU in this second. One that may not is counted as lost. */
INLINE bool within_budget(u64 per_second)
{
	u32 zero = 0;
	struct budget *budget = budgets.lookup(&zero);

	if (!budget)
		return false;
	u64 second = bpf_ktime_get_ns() / 1000000000;

	if (budget->second != second) {
		budget->second = second;
		budget->used = 0;
	}
	if (budget->used >= per_second) {
		count_lost(LOST_RATE);
		return false;
	}
	budget->used += 1;
	return true;
}

#endif
