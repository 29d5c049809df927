/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all of ebpftop's programs share.
 *
 * Compiled by BCC without kernel headers: OFF_* are member offsets that user space read from the running kernel's BTF
 * (src/ebpftop/kernel/offsets.py lists them), so one source fits every kernel from 5.10 on.
 */
#ifndef EBPFTOP_H
#define EBPFTOP_H

#define INLINE static inline __attribute__((always_inline))
#define COMM_LEN 16
#ifndef EFAULT
#define EFAULT 14 /* include/uapi/asm-generic/errno-base.h */
#endif

/* clang may widen or move a bounds check; this makes the verifier see the bound right where it is needed. */
#define BOUND(n, mask) asm volatile("%0 &= %1" : "+r"(n) : "i"(mask))

/*
 * Older kernels (5.10) take a loop only if it comes back by a jump; where the compiler lets the end of one run into its
 * beginning, they refuse a "back-edge" (kernel/bpf/verifier.c, check_cfg()). This is such a jump, to the next instruction.
 */
#define LOOP_END() asm volatile("goto +0")

/*
 * A parameter is a number that user space chooses when it loads a program: whether a part of it runs, a rate, a size.
 * It stands in the instructions, so the verifier knows it as a constant: code that it excludes is removed, and costs
 * nothing at run time. Another choice needs no other compilation. Each is declared as `PARAMETER_<name> = <number>`, 1
 * to 99 in the file of a probe; src/ebpftop/kernel/compiler.py finds the declarations, the loader the instructions.
 */
#define PARAMETER_MARK 0x0ebf709000000000
#define PARAMETER(name)                                                                    \
	({                                                                                 \
		u64 chosen;                                                                \
		asm("%0 = %1 ll" : "=r"(chosen) : "i"(PARAMETER_MARK | PARAMETER_##name)); \
		chosen;                                                                    \
	})

/* The address of a variable that every CPU has its own of, by its BTF type id: src/ebpftop/kernel/compiled.py. */
#define PERCPU_MARK 0x0ebf709100000000

/* BCC's own macros name the program after the function; with this extra step the function's name may be a macro. */
#define FENTRY(function, ...) KFUNC_PROBE(function, ##__VA_ARGS__)
#define FEXIT(function, ...) KRETFUNC_PROBE(function, ##__VA_ARGS__)

INLINE u32 read_u32(const void *base, u64 offset)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (const char *)base + offset);
	return value;
}

INLINE void *read_pointer(const void *base, u64 offset)
{
	void *value = NULL;

	bpf_probe_read_kernel(&value, sizeof(value), (const char *)base + offset);
	return value;
}

INLINE u64 read_u64(const void *base, u64 offset)
{
	return (u64)read_pointer(base, offset);
}

/*
 * The current task, and what its pointers lead to. The verifier knows the types behind bpf_get_current_task_btf (5.11;
 * BCC's older versions do not name it), so memory is loaded by an instruction. A helper that reads it costs twenty times
 * as much. A pointer that no longer leads anywhere loads 0.
 */
#ifdef HAVE_TASK_BTF
INLINE char *trusted_current_task(void)
{
	return ((char *(*)(void))158)();
}

#ifdef HAVE_RDONLY_CAST
/* A call of the kernel's function with this BTF type id (a kfunc): src/ebpftop/kernel/compiled.py completes it. */
#define KFUNC_MARK 0x40000000

/*
 * The same pointer, as one that the verifier does not trust. For each pointer that is loaded from a trusted one it
 * searches all names of the kernel's BTF, up to three times, whether that one can be trusted too (type_is_trusted() and
 * others in kernel/bpf/verifier.c, since 6.3): 0.1 s for our programs. They only load, and need no trust. The call
 * itself, of bpf_rdonly_cast, becomes a move.
 */
INLINE char *current_task(void)
{
	return ((char *(*)(char *, u64))(KFUNC_MARK | RDONLY_CAST_ID))(trusted_current_task(), TASK_STRUCT_ID);
}
#else
INLINE char *current_task(void)
{
	return trusted_current_task();
}
#endif

#define LOAD(type, base, offset) (*(type *)((char *)(base) + (offset)))
#else
INLINE char *current_task(void)
{
	return (char *)bpf_get_current_task();
}

#define LOAD(type, base, offset)                                                                 \
	({                                                                                       \
		type loaded = 0;                                                                 \
		bpf_probe_read_kernel(&loaded, sizeof(loaded), (const char *)(base) + (offset)); \
		loaded;                                                                          \
	})
#endif

INLINE u32 load_u32(const void *base, u64 offset)
{
	return LOAD(u32, base, offset);
}

INLINE u64 load_u64(const void *base, u64 offset)
{
	return LOAD(u64, base, offset);
}

INLINE char *load_pointer(const void *base, u64 offset)
{
	return LOAD(char *, base, offset);
}

/* A number of the credentials of *task*. The check is for the verifier: some kernels mark their pointer (__rcu). */
INLINE u32 load_cred(const void *task, u64 offset)
{
	char *cred = load_pointer(task, OFF_TASK_CRED);

	return cred ? load_u32(cred, offset) : 0;
}

/* The name of *task*: the current task, or one that its pointers lead to. */
INLINE void load_comm(char *to, const void *task)
{
	((u64 *)to)[0] = load_u64(task, OFF_TASK_COMM);
	((u64 *)to)[1] = load_u64(task, OFF_TASK_COMM + 8);
}

/*
 * The node of the cgroup of *task*, the current one. If the unified hierarchy is not in use (it is in the root), the cgroup
 * is that of the pids controller (*v1*), which container engines on cgroup v1 set.
 */
INLINE char *cgroup_node(char *task, u32 *v1)
{
	char *css_set = load_pointer(task, OFF_TASK_CGROUPS);
	char *node = load_pointer(load_pointer(css_set, OFF_CSS_SET_DFL_CGRP), OFF_CGROUP_KN);

	*v1 = 0;
#ifdef CSS_PIDS_ID
	if (!load_pointer(node, OFF_KERNFS_PARENT)) {
		char *css = load_pointer(css_set, OFF_CSS_SET_SUBSYS + 8 * CSS_PIDS_ID);

		*v1 = 1;
		node = load_pointer(load_pointer(css, OFF_CSS_CGROUP), OFF_CGROUP_KN);
	}
#endif
	return node;
}

/*
 * bpf_probe_read_user and bpf_probe_read_user_str by number. If they are called by name, BCC looks in kallsyms whether
 * this kernel has them, and reads all 170,000 symbols, 0.4 s. They exist since 5.5.
 */
INLINE long read_user(void *to, u32 size, const void *from)
{
	return ((long (*)(void *, u32, const void *))BPF_FUNC_probe_read_user)(to, size, from);
}

/*
 * Without a branch, and hidden from clang, which would make a branch of it: the verifier follows both sides of each
 * branch in every round of a loop.
 */
INLINE long at_least_0(long n)
{
	long sign = n >> 63;

	asm volatile("" : "+r"(sign));
	return n & ~sign;
}

/* Up to 6.12 at least, an empty string counts as 0 bytes, where every other has its NUL counted (mm/maccess.c). */
INLINE long read_user_string(void *to, u32 size, const void *from)
{
	long len = ((long (*)(void *, u32, const void *))BPF_FUNC_probe_read_user_str)(to, size, from);
	u64 bits = len | -len; /* the topmost bit is set unless len is 0 */

	asm volatile("" : "+r"(bits)); /* as above */
	return len + 1 - (bits >> 63);
}

/*
 * Programs at fentry and fexit (from 5.11 on), and from 7.3 on those at sys_enter and sys_exit, may be preempted:
 * another task then runs programs on their CPU. The kernel skips only the program that is already running there. So
 * per-CPU data that a single program writes is consistent. Data that several programs write is not, unless it is
 * claimed first or written by an atomic instruction. A program that another one reaches by a tail call counts as the
 * same program.
 */

/* Losses, counted where they happen. */
enum lost_where { LOST_RING, LOST_MAP, LOST_ARGV, LOST_EXITS, LOST_BUSY, LOST_RATE, LOST_KINDS };

BPF_PERCPU_ARRAY(lost, u64, LOST_KINDS);

INLINE void count_lost(u32 where)
{
	u64 *count = lost.lookup(&where);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* ---- The filter: user space writes it, every program checks it first. ---- */

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
#define OWN_PROCESSES 4

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

#endif
