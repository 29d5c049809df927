/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every program that starts, every execve that fails, every process that ends.
 *
 * A success is reported at sched_process_exec: there the new mm is in place and all of argv is resident. At syscall
 * entry neither is certain, and a read of a page that is not resident fails (bcc #3343).
 */
#include "ebpftop.h"
#include "compat.h"
#include "dispatch.h"
#include "events.h"

#define PATH_LEN 4096 /* PATH_MAX, the NUL included */
#define CGROUP_LEVELS 32
#define CGROUP_NAME_LEN 256 /* NAME_MAX and the NUL */
#define CGROUP_LEN 8160	  /* what file and interpreter leave */
#define HEAD_MASK 0x7fff /* file, interpreter, cgroup names and places together stay below 32 KiB */
#define ARGV_MASK 0x1ffff /* the arguments of a program that started, at most */
#define ENV_MASK 0x7fff /* the environment of a program that started, at most */
#define FAILED_ARGS 256	 /* arguments of a failed execve are read one by one ... */
#define FAILED_ARG_LEN 16384
#define FAILED_MASK 0x7fff /* ... and none begins beyond 32 KiB */
#define AT_FDCWD -100
#define SIGNAL_GROUP_EXIT 4
#define FORK_NO_EXEC 0x40 /* PF_FORKNOEXEC, include/linux/sched.h */

enum parameter {
	PARAMETER_ARGV_BYTES = 1, /* of arguments that are reported; at most ARGV_MASK + 1 */
	PARAMETER_ENV_BYTES = 2, /* of the environment that are reported; at most ENV_MASK + 1; 0: none of it is read */
	PARAMETER_FREES_LATE = 3, /* the kernel frees the memory of a process after sched_process_exit */
	PARAMETER_ONLY_COUNTS = 4, /* ends of processes are counted, and nothing is reported */
};

enum event_kind { EVENT_EXEC = 1, EVENT_FAILED = 2, EVENT_EXIT = 3, EVENT_FREED = 4 };
enum event_flag {
	ARGV_TRUNCATED = 1,
	ARGV_UNREADABLE = 2,
	FILE_CUT = 4, /* or unreadable */
	INTERP_CUT = 8,
	CGROUP_CUT = 16, /* the topmost names are missing */
	CGROUP_V1 = 32,
	FILE_UNREADABLE = 64, /* so the kernel had not read it either */
	ENV_CUT = 128, /* or unreadable */
};

/* Layout known to src/ebpftop/probes/exec_event.py. */
struct event {
	u32 kind;
	u32 flags;
	u64 time_ns; /* CLOCK_MONOTONIC */
	u64 start_ns; /* of the process, since boot: with pid, its identity */
	u64 parent_start_ns;
	u64 cgroup_id; /* 0: unknown */
	u64 origin_start_ns; /* of the process that started the program that the parent runs */
	u32 pid;
	u32 tid;
	u32 ppid;
	u32 uid;
	u32 euid;
	u32 loginuid;
	u32 pidns;
	u32 nspid;
	s32 ret; /* of execve; the wait status in an exit */
	u32 file_len;
	u32 interp_len;
	u32 cgroup_len; /* names from the leaf up, each with its NUL */
	u32 argv_len; /* strings, each with its NUL */
	s32 dirfd; /* of a failed execveat, else AT_FDCWD */
	u32 argc; /* if not 0, only so many of the strings are arguments */
	u32 env_len; /* strings of a program that started, behind the arguments */
	u32 origin_pid; /* 0: unknown */
	u32 unused;
	char comm[COMM_LEN];
	char pcomm[COMM_LEN];
};

/* What execve was called with, kept from entry to return. */
struct attempt {
	u64 file;
	u64 argv;
	u64 mm; /* of the caller; 0 if the entry was not seen */
	s32 dirfd;
	u16 pointer_size; /* of the caller's ABI; 0: the filter did not match the caller, or the call only checks */
	u16 call; /* which of EXEC_CALLS */
	/* Where the kernel put a copy of argv and of the path, in the memory of the new program: see note_program(). */
	u64 new_argv; /* 0: nowhere */
	u64 new_file;
	u32 argc;
	u32 unused;
	char comm[COMM_LEN];
};

#include "attempts.h"
#include "walk_types.h"
#include "execs_places.h"

_Static_assert(sizeof(struct event) % 8 == 0 && sizeof(struct places) % 8 == 0, "there would be a gap");

struct scratch {
	u64 at;
	u32 replaced; /* of a failed execve: see send_failed() */
	u32 was_kept;
	struct path paths[PLACES_MASK + 1];
	struct walk walk;
	struct attempt attempt;
	struct event head;
	struct places places; /* behind the head without a gap */
	char data[HEAD_MASK + 1 + ARGV_MASK + 1 + ENV_MASK + 1];
};

/* One entry per CPU: the loader sets the size. Only one program writes exec_scratch; several write failed_scratch. */
BPF_ARRAY(exec_scratch, struct scratch, 1);
BPF_ARRAY(failed_scratch, struct scratch, 1);
/* The CPUs whose failed_scratch is being written. */
BPF_HASH(failed_claims, u32, u8, 1);

/* Counts what happened, even if the event is lost: sent + lost = seen. */
BPF_PERCPU_ARRAY(seen, u64, 4);

INLINE void count_seen(u32 kind)
{
	u64 *count = seen.lookup(&kind);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/*
 * What could be read before an execve that fails after its point of no return (fs/exec.c). It comes back with another mm
 * and another comm: what the pointers pointed to is gone.
 */
#define KEPT_PATH 1024
#define KEPT_ARGS 64
#define KEPT_ARG_LEN 512
#define KEPT_MASK 2047

struct kept {
	u32 flags;
	u32 file_len;
	u64 argv_len;
	char file[KEPT_PATH + 1];
	char argv[KEPT_MASK + KEPT_ARG_LEN + 2];
};

BPF_TABLE("lru_hash", u64, struct kept, kept_attempts, 256);
/* One entry for each call of each ABI, and one for the point of no return: programs that may preempt each other use
 * different entries. */
#define EXEC_CALLS 6
BPF_PERCPU_ARRAY(kept_scratch, struct kept, EXEC_CALLS + 1);

/* The call of *task* has ended and was no failure. A lookup is cheaper than a deletion, and mostly finds nothing. */
INLINE void forget_attempt(u64 task)
{
	struct attempt *attempt = find_attempt(task);

	if (!attempt)
		return;
	bool was_kept = attempt->pointer_size && !attempt->new_argv;

	remove_attempt(task);
	if (was_kept)
		kept_attempts.delete(&task);
}

INLINE void fill_identity(struct event *event, char *task)
{
	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	char *parent = load_pointer(leader, OFF_TASK_REAL_PARENT);

	event->flags = 0;
	event->argc = 0;
	event->env_len = 0;
	event->origin_pid = 0;
	event->dirfd = AT_FDCWD;
	event->time_ns = bpf_ktime_get_ns();
	event->start_ns = load_u64(leader, OFF_TASK_START_BOOTTIME);
	event->pid = load_u32(task, OFF_TASK_TGID);
	event->tid = load_u32(task, OFF_TASK_PID);
	event->ppid = load_u32(parent, OFF_TASK_TGID);
	event->parent_start_ns = load_u64(load_pointer(parent, OFF_TASK_GROUP_LEADER), OFF_TASK_START_BOOTTIME);
	event->uid = load_cred(task, OFF_CRED_UID);
}

INLINE void fill_context(struct event *event, char *task)
{
	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	char *parent = load_pointer(leader, OFF_TASK_REAL_PARENT);
	char *pid = load_pointer(leader, OFF_TASK_THREAD_PID);
	u64 level = load_u32(pid, OFF_PID_LEVEL);
	char upid[SIZE_UPID];

	/* The verifier follows no pointer at an offset that varies. */
	bpf_probe_read_kernel(upid, sizeof(upid), pid + OFF_PID_NUMBERS + level * SIZE_UPID);
	event->nspid = *(u32 *)(upid + OFF_UPID_NR);
	event->pidns = read_u32(*(void **)(upid + OFF_UPID_NS), OFF_PIDNS_INUM);
	event->euid = load_cred(task, OFF_CRED_EUID);
#ifdef OFF_TASK_LOGINUID
	event->loginuid = load_u32(task, OFF_TASK_LOGINUID);
#else
	event->loginuid = -1;
#endif
	load_comm(event->comm, task);
	/* The parent is the thread that forked; a process has the name of its first thread. */
	load_comm(event->pcomm, load_pointer(parent, OFF_TASK_GROUP_LEADER));
}

/* Append the string at *from*, kernel memory; return its length in bytes, with the NUL. */
INLINE u64 append_string(struct scratch *scratch, u64 at, u32 room, const void *from)
{
	BOUND(at, HEAD_MASK);
	long len = bpf_probe_read_kernel_str(scratch->data + at, room, from);

	return at_least_0(len);
}

/*
 * Return *value* after a store to memory and a load, which the verifier does not follow. Otherwise each exit of a loop
 * leaves it with a different range, and the code after the loop is verified again for each: a second, not milliseconds.
 */
INLINE u64 through_memory(struct scratch *scratch, u64 value)
{
	*(volatile u64 *)&scratch->at = value;
	return *(volatile u64 *)&scratch->at;
}

/* The path of the cgroup, leaf first. If the path is too long, user space finds the cgroup by its id. */
INLINE u64 append_cgroup(struct scratch *scratch, u64 at, char *task)
{
	u32 v1;
	char *node = cgroup_node(task, &v1);
	u64 from = at;

	if (v1)
		scratch->head.flags |= CGROUP_V1;
#ifdef OFF_KERNFS_ID
	scratch->head.cgroup_id = load_u64(node, OFF_KERNFS_ID);
#else
	scratch->head.cgroup_id = 0;
#endif
#pragma nounroll
	for (int i = 0; i <= CGROUP_LEVELS; i++) {
		char *parent = load_pointer(node, OFF_KERNFS_PARENT);

		if (!parent)
			return at - from;
		if (i == CGROUP_LEVELS || at - from > CGROUP_LEN - CGROUP_NAME_LEN)
			break;
		at = through_memory(
			scratch, at + append_string(scratch, at, CGROUP_NAME_LEN, load_pointer(node, OFF_KERNFS_NAME)));
		node = parent;
	}
	scratch->head.flags |= CGROUP_CUT;
	return at - from;
}

#include "walk.h"
#include "execs_walk.h"

/* File, interpreter, cgroup and places are there: send them with *argv_len* and *env_len* bytes behind them. */
INLINE void send(void *ctx, struct scratch *scratch, u64 head_len, u64 argv_len, u64 env_len)
{
	u64 size = sizeof(struct event) + sizeof(struct places) + head_len + argv_len + env_len;

	scratch->head.argv_len = argv_len;
	scratch->head.env_len = env_len;
	if (size > sizeof(struct event) + sizeof(struct places) + sizeof(scratch->data))
		return;
	submit(ctx, &scratch->head, size);
}

#include "execs_environment.h"

INLINE int exec_succeeded(void *ctx, const void *file, const void *interp, u32 old_tid)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = exec_scratch.lookup(&cpu);
	char *task = current_task();

	forget_attempt((u64)task);
	if (!filter_matches(load_u32(task, OFF_TASK_TGID), NULL))
		return 0;
	count_seen(EVENT_EXEC);
	if (!scratch) {
		count_lost(LOST_MAP);
		return 0;
	}
	struct event *event = &scratch->head;

	event->kind = EVENT_EXEC;
	event->ret = 0;
	fill_identity(event, task);
	fill_context(event, task);
	fill_origin(event, task);
	event->tid = old_tid; /* a thread that execs becomes its process's first */

	u64 at = append_string(scratch, 0, PATH_LEN + 1, file);

	event->file_len = at;
	if (at > PATH_LEN)
		event->flags |= FILE_CUT;
	event->interp_len = interp && interp != file ? append_string(scratch, at, PATH_LEN, interp) : 0;
	if (event->interp_len == PATH_LEN)
		event->flags |= INTERP_CUT;
	at += event->interp_len;
	event->cgroup_len = append_cgroup(scratch, at, task);
	at = through_memory(scratch, at + event->cgroup_len);

	char *mm = load_pointer(task, OFF_TASK_MM);

	at = append_places(scratch, at, task, read_pointer(mm, OFF_MM_EXE_FILE), STEPS);

	u64 arg_start = load_u64(mm, OFF_MM_ARG_START);
	u64 len = load_u64(mm, OFF_MM_ARG_END) - arg_start;
	u64 longest = PARAMETER(ARGV_BYTES) - 1;

	if (len > longest) {
		len = longest;
		event->flags |= ARGV_TRUNCATED;
	}
	BOUND(at, HEAD_MASK);
	BOUND(len, ARGV_MASK);
	if (read_user(scratch->data + at, len, (void *)arg_start)) {
		event->flags |= ARGV_UNREADABLE;
		count_lost(LOST_ARGV);
		len = 0;
	}
	send(ctx, scratch, at, len, append_environment(scratch, at + len, mm));
	return 0;
}

/* What is read of a linux_binprm, in a single read. */
struct program {
	const void *filename;
	const void *interp;
	u64 argv; /* where the strings of argv begin, in the memory of the new program; those of envp follow */
	u64 file; /* where its path is */
	u32 argc;
};

#define BINPRM_READ (OFF_BINPRM_EXEC + 8)
_Static_assert(OFF_BINPRM_P < OFF_BINPRM_EXEC && OFF_BINPRM_ARGC < OFF_BINPRM_EXEC &&
		       OFF_BINPRM_FILENAME < OFF_BINPRM_EXEC && OFF_BINPRM_INTERP < OFF_BINPRM_EXEC,
	       "the read ends before a member");

INLINE struct program program_of(const void *bprm)
{
	char copy[BINPRM_READ] __attribute__((aligned(8))) = {};

	bpf_probe_read_kernel(copy, sizeof(copy), bprm);
	return (struct program){
		.filename = *(void **)(copy + OFF_BINPRM_FILENAME),
		.interp = *(void **)(copy + OFF_BINPRM_INTERP),
		.argv = *(u64 *)(copy + OFF_BINPRM_P),
		.file = *(u64 *)(copy + OFF_BINPRM_EXEC),
		.argc = *(u32 *)(copy + OFF_BINPRM_ARGC),
	};
}

/* raw tracepoint args: task, old pid, linux_binprm */
int exec_on_sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct program program = program_of((void *)ctx->args[2]);

	return exec_succeeded(ctx, program.filename, program.interp, ctx->args[1]);
}

#ifdef WITH_SCHED_TRACEPOINTS
/* sched/sched_process_exec/format: the file name lies behind the fixed fields; there is no interpreter. */
struct exec_tracepoint {
	u64 common;
	u32 file_loc; /* __data_loc: the low half is the offset */
	s32 pid;
	s32 old_pid;
};

int exec_on_tracepoint(struct exec_tracepoint *ctx)
{
	return exec_succeeded(ctx, (char *)ctx + (ctx->file_loc & 0xffff), NULL, ctx->old_pid);
}
#endif

#include "execs_failed.h"
#include "execs_ended.h"
