/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often each call is made and fails, and how long it takes. What lies in a slot stands in arrays; what has none, in
 * hashes. Included by syscalls.c.
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

#define BUCKETS 44

/* Two programs count calls, so each has a field of its own: see ebpftop.h. `unentered`: counted when they return. */
struct count {
	u64 entered;
	u64 unentered;
};

BPF_PERCPU_ARRAY(counts, struct count, SLOTS);

/* Numbers that have no slot: the kernel answers ENOSYS, but the call was made. */
struct other_call {
	u32 abi;
	u32 nr;
};

BPF_HASH(other_calls, struct other_call, u64, 1024);
BPF_PERCPU_ARRAY(overflow, u64, 1);

struct other_failure {
	u32 abi;
	u32 nr;
	u32 error;
	u32 unused;
};

BPF_HASH(other_failures, struct other_failure, u64, 1024);

struct latency {
	u64 total_ns;
	u64 max_ns;
	u64 ns[BUCKETS]; /* ns[i]: 2^i <= duration < 2^(i+1) */
};

BPF_PERCPU_ARRAY(latencies, struct latency, SLOTS);

struct failure {
	u32 slot;
	u32 error;
};

BPF_TABLE("percpu_hash", struct failure, u64, failures, 8192);

/* The latencies of the calls that failed: few calls ever do, so this is no array with a place for each. */
struct failed_latency {
	u64 ns[BUCKETS]; /* as in struct latency, which has them too */
};

BPF_TABLE("percpu_hash", u32, struct failed_latency, failed_latencies, 512);
BPF_ARRAY(no_latency, struct failed_latency, 1); /* zeros; the stack has no room for them */

INLINE struct other_call other_call_of(u64 nr, bool compat)
{
	struct other_call key = {.abi = compat ? ABI_COMPAT : ABI_NATIVE, .nr = nr};

#ifdef HAVE_X32
	/* -1 has the bit too, but is not an x32 call. */
	if (!compat && key.nr >> 30 == 1) {
		key.abi = ABI_X32;
		key.nr &= ~X32_BIT;
	}
#endif
	return key;
}

INLINE void count_other(u64 nr, bool compat)
{
	struct other_call key = other_call_of(nr, compat);
	u64 none = 0;
	u64 *count = other_calls.lookup_or_try_init(&key, &none);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return;
	}
	u32 zero = 0;

	count = overflow.lookup(&zero);
	if (count)
		__sync_fetch_and_add(count, 1);
}
