/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tasks that are inside an execve, each with a `struct attempt`, which the including file defines before.
 *
 * Keyed by the task's address: a thread that execs gets another tid in the middle of the call. Only the task itself adds
 * its attempt and removes it.
 *
 * Few tasks are inside an execve at the same time, and a small map stays in the cache. At an exec, when the cache is full
 * of other things, a lookup in a map of 16,384 entries takes 250 ns, in one of 64 it takes 70. So the large map has only
 * what the small one has no room for.
 */
BPF_HASH(attempts, u64, struct attempt, 128);
BPF_HASH(more_attempts, u64, struct attempt, 16384);
BPF_ARRAY(in_more_attempts, u64, 1);

INLINE bool has_more_attempts(void)
{
	u32 zero = 0;
	u64 *count = in_more_attempts.lookup(&zero);

	return count && *count;
}

INLINE void count_more_attempts(s64 difference)
{
	u32 zero = 0;
	u64 *count = in_more_attempts.lookup(&zero);

	if (count)
		__sync_fetch_and_add(count, difference);
}

INLINE struct attempt *find_attempt(u64 task)
{
	struct attempt *attempt = attempts.lookup(&task);

	if (!attempt && has_more_attempts())
		attempt = more_attempts.lookup(&task);
	return attempt;
}

INLINE void put_attempt(u64 task, struct attempt *attempt)
{
	if (!attempts.update(&task, attempt))
		return;
	/* Full. An attempt whose return was missed is replaced, and counted once. */
	if (!more_attempts.insert(&task, attempt))
		count_more_attempts(1);
	else if (more_attempts.update(&task, attempt))
		count_lost(LOST_MAP);
}

INLINE void remove_attempt(u64 task)
{
	if (attempts.delete(&task) && has_more_attempts() && !more_attempts.delete(&task))
		count_more_attempts(-1);
}
