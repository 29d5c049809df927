/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What cgroups, programs and users ask of the kernel. Included by syscalls_exit.h. The probe of groups loads the programs
 * of syscalls.c once more, with GROUPS and with maps of their own: so while it is off, calls pay nothing for it.
 *
 * A call counts when it ends: for the cgroup and the name that its process has by then.
 */

#define FIRST_GROUP_BUCKET 4
#define GROUP_BUCKETS 32
#define SEEN_WORDS (NATIVE_SLOTS / 64)

/* Who is counted together. User space sums up by cgroup, by name and by user, so a call costs a single look-up. */
struct group {
	u64 cgroup_id;
	u32 v1; /* the cgroup is one of the pids controller: see cgroup_node() */
	u32 uid;
	char comm[COMM_LEN]; /* of the process: its first thread's */
};

struct group_count {
	u64 calls;
	u64 errors;
	u64 execs; /* those that failed, too */
	u64 failed;
	u64 total_ns;
	u64 max_ns;
	u64 exec_ns; /* when the last program started */
	u64 seen_other; /* calls of another ABI, or without a slot */
	u64 seen[SEEN_WORDS]; /* native calls that were made, a bit for each number */
	/* Written by on_task_exit, another program: of calls that did not return. */
	u64 unreturned;
	u64 unreturned_execs;
	u64 unreturned_other;
	u64 unreturned_seen[SEEN_WORDS];
	u32 ns[GROUP_BUCKETS]; /* ns[i]: 2^(i+4) <= duration < 2^(i+5); the differences between two readings count */
};

BPF_TABLE("percpu_hash", struct group, struct group_count, groups, 1); /* the loader sets the size */
/* Of groups for which there is no room. */
BPF_PERCPU_ARRAY(overflow_groups, struct group_count, 1);
BPF_ARRAY(no_group_count, struct group_count, 1); /* zeros; the stack has little room for them */

INLINE struct group_count *group_count_of(char *task, u32 uid)
{
	u32 zero = 0;
	struct group group = {.uid = uid};
	char *node = cgroup_node(task, &group.v1);

#ifdef OFF_KERNFS_ID
	group.cgroup_id = load_u64(node, OFF_KERNFS_ID);
#else
	group.cgroup_id = bpf_get_current_cgroup_id();
#endif
	load_comm(group.comm, load_pointer(task, OFF_TASK_GROUP_LEADER));

	struct group_count *count = groups.lookup(&group);

	if (count)
		return count;
	struct group_count *none = no_group_count.lookup(&zero);

	if (!none)
		return NULL;
	groups.insert(&group, none); /* another CPU may be first */
	count = groups.lookup(&group);
	if (count)
		return count;
	count_lost(LOST_MAP);
	return overflow_groups.lookup(&zero);
}

INLINE bool is_exec_slot(u32 slot)
{
#ifdef HAVE_X32
	if (slot == X32_BASE + (NR_X32_EXECVE & ~X32_BIT) || slot == X32_BASE + (NR_X32_EXECVEAT & ~X32_BIT))
		return true;
#endif
	return slot == NR_EXECVE || slot == NR_EXECVEAT || slot == COMPAT_BASE + NR_COMPAT_EXECVE ||
	       slot == COMPAT_BASE + NR_COMPAT_EXECVEAT;
}

/* Where a program has started, the registers hold nothing of the call any more. */
INLINE bool has_only_checked(struct exit_ctx *ctx, u32 slot)
{
#ifdef VIA_TRACEPOINT
	return false;
#else
	bool compat = slot >= COMPAT_BASE && slot < X32_BASE;
	bool is_execveat = slot == NR_EXECVEAT || slot == COMPAT_BASE + NR_COMPAT_EXECVEAT;

#ifdef HAVE_X32
	is_execveat |= slot == X32_BASE + (NR_X32_EXECVEAT & ~X32_BIT);
#endif
	struct exec_call call = {.abi = compat ? ABI_COMPAT : ABI_NATIVE, .is_execveat = is_execveat};

	return is_execveat && only_checks(call, fifth_argument((void *)ctx->args[0], call.abi));
#endif
}

INLINE void count_group_exec(struct exit_ctx *ctx, struct group_count *count, u32 slot, u32 error)
{
	if (has_only_checked(ctx, slot))
		return;
	count->execs += 1;
	if (error)
		count->failed += 1;
	else
		count->exec_ns = bpf_ktime_get_ns();
}

/* *seen* is only written if it changes: other CPUs need not read it again. */
INLINE void note_seen(u64 *seen, u32 slot)
{
	u64 word = slot >> 6;
	u64 bit = 1ULL << (slot & 63);

	BOUND(word, SEEN_WORDS - 1);
	if (!(seen[word] & bit))
		seen[word] |= bit;
}

INLINE u32 group_bucket_of(u64 delta_ns)
{
	u32 bucket = log2_of(delta_ns);

	if (bucket < FIRST_GROUP_BUCKET)
		return 0;
	bucket -= FIRST_GROUP_BUCKET;
	return bucket < GROUP_BUCKETS ? bucket : GROUP_BUCKETS - 1;
}

/* *delta_ns* is not known of a call that never entered: *has_entered* is false. *slot* may be NO_SLOT. */
INLINE void count_group(struct exit_ctx *ctx, const struct caller *caller, u32 slot, bool has_entered, u64 delta_ns,
			u32 error)
{
	struct group_count *count = group_count_of(caller->task, caller->uid);

	if (!count)
		return;
	count->calls += 1;
	if (error)
		count->errors += 1;
	if (has_entered) {
		u64 bucket = group_bucket_of(delta_ns);

		BOUND(bucket, GROUP_BUCKETS - 1);
		count->total_ns += delta_ns;
		if (delta_ns > count->max_ns)
			count->max_ns = delta_ns;
		count->ns[bucket] += 1;
	}
	if (slot < NATIVE_SLOTS)
		note_seen(count->seen, slot);
	else
		count->seen_other = 1;
	if (is_exec_slot(slot))
		count_group_exec(ctx, count, slot, error);
}

/* *slot* is that of a call in which the current task ends. */
INLINE void count_unreturned(u32 slot, u32 uid)
{
	if (slot >= SLOTS && slot != NO_SLOT)
		return;
	struct group_count *count = group_count_of(current_task(), uid);

	if (!count)
		return;
	count->unreturned += 1;
	if (slot < NATIVE_SLOTS)
		note_seen(count->unreturned_seen, slot);
	else
		count->unreturned_other = 1;
	if (is_exec_slot(slot))
		count->unreturned_execs += 1;
}

/* If *task*, the current one, ends in the middle of a call: count that. */
INLINE void count_unreturned_call(u64 task)
{
	u32 zero = 0;
	struct call *call = running.lookup(&zero);
	struct waiting_call *waited = waiting.lookup(&task);

	if (waited)
		count_unreturned(waited->slot, waited->uid);
	else if (call && call->task == task)
		count_unreturned(call->slot, call->uid);
}

/* ---- The paths of cgroups: those that are made while the probe is on, and that may be gone when user space asks. ---- */

#define MADE_PATH_LEN 512

struct made_cgroup {
	u64 id;
	u64 v1;
};

struct made_path {
	char text[MADE_PATH_LEN]; /* from the root of its hierarchy */
};

BPF_TABLE("lru_hash", struct made_cgroup, struct made_path, made_cgroups, 1);
BPF_PERCPU_ARRAY(made_path, struct made_path, 1);

#if defined(OFF_CGROUP_ROOT) && defined(OFF_CGROUP_ROOT_HIERARCHY_ID) && defined(OFF_CGROUP_ROOT_SUBSYS_MASK) && \
	defined(OFF_KERNFS_ID) && defined(CSS_PIDS_ID)
/* raw tracepoint args: the cgroup, its path. */
int groups_on_cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	void *cgroup = (void *)ctx->args[0];
	struct made_path *path = made_path.lookup(&zero);
	struct made_cgroup made = {};

	if (!path)
		return 0;
	void *root = read_pointer(cgroup, OFF_CGROUP_ROOT);

	made.v1 = read_u32(root, OFF_CGROUP_ROOT_HIERARCHY_ID) != 0;
	if (made.v1 && !(read_u32(root, OFF_CGROUP_ROOT_SUBSYS_MASK) >> CSS_PIDS_ID & 1))
		return 0;
	made.id = read_u64(read_pointer(cgroup, OFF_CGROUP_KN), OFF_KERNFS_ID);
	/* A path that was cut is of no use. */
	if (bpf_probe_read_kernel_str(path->text, sizeof(path->text), (void *)ctx->args[1]) < MADE_PATH_LEN)
		made_cgroups.update(&made, path);
	return 0;
}
#endif
