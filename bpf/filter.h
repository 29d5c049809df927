/* SPDX-License-Identifier: GPL-2.0-only */
/* The filter: user space writes it, every program checks it first. Included by ebpftop.h. */

enum filter_flag {
	FILTER_UID = 1,
	FILTER_PID = 2,
	FILTER_COMM = 4,
	FILTER_CGROUP = 8,
	FILTER_HIDE_SELF = 16,
	/* The same of what is excluded */
	FILTER_NOT_UID = 32,
	FILTER_NOT_PID = 64,
	FILTER_NOT_COMM = 128,
	FILTER_NOT_CGROUP = 256,
};

/* ebpftop and its helpers; if there are fewer, a pid is repeated. src/ebpftop/lifecycle/helpers.py has the number. */
#define OWN_PROCESSES 6

#define FILTER_SLOTS 2
#define FILTER_EXCLUDED FILTER_SLOTS /* added to the bit of a slot: its filter excludes the value */
#define FILTER_BITS (2 * FILTER_SLOTS) /* the others are of processes that are followed for something else */
#define FILTER_MAX 64  /* values of one kind, in each slot */
#define FILTER_CGROUPS 8

/* A longest-prefix map matches both: "NAME*" is a prefix, "NAME" is the prefix that ends with its NUL. */
struct comm_key {
	u32 bits;
	char name[COMM_LEN];
};

struct cgroup_choice {
	u64 id;
	u32 level; /* depth below the root, so that descendants match too */
	u16 v1;	   /* not in the unified hierarchy but in that of the pids controller */
	u16 excluded;
};

/*
 * Two slots, one of them active. User space fills the other, then flips `active`: every event is matched by the old
 * filter or by the new one, never by a mix. The values in the maps below have a bit for each slot, and another one.
 */
struct filter_slot {
	u32 flags;
	u32 cgroups; /* those that are excluded come first */
	struct cgroup_choice cgroup[FILTER_CGROUPS];
};

/*
 * `hide_self_only` is 1 if the active slot leaves out only ebpftop itself. It is 0 while slots are exchanged, and if
 * the filter has other conditions: then the slot must be checked.
 */
struct filter_config {
	u32 hide_self_only;
	u32 active;
	u32 own[OWN_PROCESSES];
	struct filter_slot slot[FILTER_SLOTS];
};

/*
 * The real maps are those of filter.c: the loader uses them for every other file too. It also gives a map its size, if
 * that depends on the machine or is large; here stands 1, since BCC makes each map while it compiles.
 */
BPF_ARRAY(filter_config, struct filter_config, 1);
BPF_HASH(filter_uids, u32, u8, (FILTER_SLOTS * FILTER_MAX));
BPF_HASH(filter_pids, u32, u8, 1); /* processes followed by --pid */
BPF_LPM_TRIE(filter_comms, struct comm_key, u8, (FILTER_SLOTS * FILTER_MAX));

/*
 * Whether the filter of *slot* matches what has *bits* in a map of values, 0 if it is not there; *is_set*: there are values
 * to match.
 */
INLINE bool value_matches(u32 bits, u32 slot, u32 is_set)
{
	if (bits >> (slot + FILTER_EXCLUDED) & 1)
		return false;
	return !is_set || bits >> slot & 1;
}

/* Match the current task's comm, a thread's own name; or that of *leader*, its process, if one is given. */
INLINE bool comm_matches(u32 slot, u32 is_set, const void *leader)
{
	struct comm_key comm = {.bits = 8 * COMM_LEN};

	if (leader)
		bpf_probe_read_kernel(comm.name, COMM_LEN, (const char *)leader + OFF_TASK_COMM);
	else
		bpf_get_current_comm(comm.name, COMM_LEN);
	u8 *bits = filter_comms.lookup(&comm);

	return value_matches(bits ? *bits : 0, slot, is_set);
}

/* Tracing programs may call bpf_get_current_ancestor_cgroup_id since 5.15; the array behind it went in 6.1. */
INLINE u64 ancestor_cgroup_id(u32 level)
{
#ifdef OFF_CGROUP_ANCESTOR_IDS
	void *css_set = read_pointer((void *)bpf_get_current_task(), OFF_TASK_CGROUPS);
	void *cgroup = read_pointer(css_set, OFF_CSS_SET_DFL_CGRP);

	if (level > read_u32(cgroup, OFF_CGROUP_LEVEL))
		return 0;
	return read_u64(cgroup, OFF_CGROUP_ANCESTOR_IDS + 8 * (u64)level);
#else
	return bpf_get_current_ancestor_cgroup_id(level);
#endif
}

#if defined(CSS_PIDS_ID) && defined(OFF_KERNFS_ID)
/* On cgroup v1 engines make a cgroup for each container in the hierarchy of every controller. */
INLINE u64 ancestor_v1_cgroup_id(u32 level)
{
	void *css_set = read_pointer((void *)bpf_get_current_task(), OFF_TASK_CGROUPS);
	void *css = read_pointer(css_set, OFF_CSS_SET_SUBSYS + 8 * CSS_PIDS_ID);
	void *cgroup = read_pointer(css, OFF_CSS_CGROUP);

	if (level > read_u32(cgroup, OFF_CGROUP_LEVEL))
		return 0;
#ifdef OFF_CGROUP_ANCESTOR_IDS
	return read_u64(cgroup, OFF_CGROUP_ANCESTOR_IDS + 8 * (u64)level);
#else
	void *ancestor = read_pointer(cgroup, OFF_CGROUP_ANCESTORS + 8 * (u64)level);

	return read_u64(read_pointer(ancestor, OFF_CGROUP_KN), OFF_KERNFS_ID);
#endif
}
#else
INLINE u64 ancestor_v1_cgroup_id(u32 level)
{
	return 0;
}
#endif

INLINE bool cgroup_matches(struct filter_slot *filter)
{
#pragma nounroll
	for (int i = 0; i < FILTER_CGROUPS; i++) {
		if (i >= filter->cgroups)
			break;
		struct cgroup_choice *choice = &filter->cgroup[i];
		u64 id = choice->v1 ? ancestor_v1_cgroup_id(choice->level) : ancestor_cgroup_id(choice->level);

		if (id == choice->id)
			return !choice->excluded;
	}
	return !(filter->flags & FILTER_CGROUP);
}

/* True for ebpftop itself and each of its helper processes. */
INLINE bool is_own(const struct filter_config *config, u32 tgid)
{
	bool own = false;

#pragma unroll
	for (int i = 0; i < OWN_PROCESSES; i++)
		own |= tgid == config->own[i];
	return own;
}

/* *tgid* is the current task's: a caller may know it without a helper call. */
INLINE bool filter_matches(u32 tgid, const void *leader)
{
	u32 zero = 0;
	struct filter_config *config = filter_config.lookup(&zero);

	if (!config)
		return true;
	u32 slot = config->active & (FILTER_SLOTS - 1);
	struct filter_slot *filter = &config->slot[slot];
	u32 flags = filter->flags;

	if (!flags)
		return true;
	if (flags & FILTER_HIDE_SELF && is_own(config, tgid))
		return false;
	if (flags == FILTER_HIDE_SELF)
		return true;
	if (flags & (FILTER_UID | FILTER_NOT_UID)) {
		u32 uid = bpf_get_current_uid_gid();
		u8 *bits = filter_uids.lookup(&uid);

		if (!value_matches(bits ? *bits : 0, slot, flags & FILTER_UID))
			return false;
	}
	if (flags & (FILTER_PID | FILTER_NOT_PID)) {
		u8 *bits = filter_pids.lookup(&tgid);

		if (!value_matches(bits ? *bits : 0, slot, flags & FILTER_PID))
			return false;
	}
	if (flags & (FILTER_COMM | FILTER_NOT_COMM) && !comm_matches(slot, flags & FILTER_COMM, leader))
		return false;
	if (flags & (FILTER_CGROUP | FILTER_NOT_CGROUP) && !cgroup_matches(filter))
		return false;
	return true;
}

INLINE bool process_matches(const void *leader)
{
	return filter_matches(bpf_get_current_pid_tgid() >> 32, leader);
}

/* True if the filter matches the current task: every kind of filter that is set must match, nothing excluded may. */
INLINE bool task_matches(void)
{
	return process_matches(NULL);
}
