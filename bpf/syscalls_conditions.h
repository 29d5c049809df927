/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which calls of a traced system call are reported: those that meet a condition, of a few that user space writes (--trace
 * openat:failed). What the return alone decides is decided there, before anything is read or counted against the budget,
 * so a call that nobody asked for costs a look-up. Included by syscalls.c.
 */

#define CONDITIONS 8

/* Of which process a call must be is in struct condition_kinds. */
enum condition_flag {
	CONDITION_FAILED = 1,
	CONDITION_ERROR = 2, /* failed with this error */
	CONDITION_SLOWER = 4,
	CONDITION_PATH = 8,  /* one of its paths begins with these bytes; an exact one includes its NUL */
	CONDITION_PATH_END = 16,
};

#define CONDITION_PATH_LEN 64

struct condition {
	u32 flags;
	u32 error;
	u64 slower_ns;
	u32 unused;
	u32 path_len; /* of CONDITION_PATH_END, with the NUL */
	u64 path[CONDITION_PATH_LEN / 8];
	u64 mask[CONDITION_PATH_LEN / 8]; /* which bits of the path count */
};

BPF_ARRAY(conditions, struct condition, CONDITIONS);

/* What the entry needs to know of them, as bits, so that it looks up none. */
struct condition_kinds {
	u32 at_return; /* decided when the call returns */
	u32 by_process; /* hold for one process and its descendants */
	u32 of_followed[8]; /* by bit of filter_pids: the conditions of that process */
};

BPF_ARRAY(condition_kinds, struct condition_kinds, 1);

/* The conditions of *facts* that may hold for a call of this process, as far as the entry knows. */
INLINE u32 conditions_of_process(u32 asked, const struct condition_kinds *kinds, u32 tgid)
{
	if (!(asked & kinds->by_process))
		return asked;
	u8 *followed = filter_pids.lookup(&tgid);
	u32 may_hold = ~kinds->by_process;
	u32 bits = followed ? *followed : 0;

#pragma unroll
	for (int i = FILTER_BITS; i < 8; i++)
		may_hold |= bits >> i & 1 ? kinds->of_followed[i] : 0;
	return asked & may_hold;
}

/* Whether what is known without reading memory fulfils the condition. */
INLINE bool is_met_by_result(const struct condition *condition, u64 delta_ns, u32 error)
{
	u32 flags = condition->flags;

	if (flags & CONDITION_FAILED && !error)
		return false;
	if (flags & CONDITION_ERROR && error != condition->error)
		return false;
	return !(flags & CONDITION_SLOWER) || delta_ns > condition->slower_ns;
}

/* Whether *path*, of *len* bytes with the NUL, begins or ends with that of the condition. */
INLINE bool is_met_by_path(const struct condition *condition, const char *path, u64 len)
{
	u64 bytes[CONDITION_PATH_LEN / 8] = {};
	u64 from = condition->flags & CONDITION_PATH_END ? len - condition->path_len : 0;
	u64 differ = 0;

	if (!len || from > len)
		return false;
	BOUND(from, 511);
	bpf_probe_read_kernel(bytes, sizeof(bytes), path + from);
#pragma unroll
	for (int i = 0; i < CONDITION_PATH_LEN / 8; i++)
		differ |= (bytes[i] ^ condition->path[i]) & condition->mask[i];
	return !differ;
}
