/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What io_uring does is asked for in memory, and no system call tells of it: operations are counted by their opcode where
 * the kernel takes them up. Those that a kernel thread takes up for a process (IORING_SETUP_SQPOLL) count as that
 * process's, whose thread it is.
 */
#ifdef OFF_URING_OPCODE
#define URING_OPCODES 256

BPF_PERCPU_ARRAY(uring_operations, u64, URING_OPCODES);

/* tracepoint io_uring:io_uring_submit_req, io_uring_submit_sqe before 6.4 */
int uring_submitted(void *ctx)
{
	u32 opcode = *(volatile u8 *)(ctx + OFF_URING_OPCODE);

	if (!task_matches())
		return 0;
	u64 *count = uring_operations.lookup(&opcode);

	if (count)
		*count += 1;
	return 0;
}
#endif
