/* SPDX-License-Identifier: GPL-2.0-only */
// ebpftop: lesson 4
// ebpftop: attach hello=raw_tracepoint:sys_enter
// ebpftop: slot syscalls[execve]=hello_exec chain[0]=hello_exec
// ebpftop: show syscalls.key=syscall

BPF_PROG_ARRAY(syscalls, 512);
BPF_PROG_ARRAY(chain, 1);
BPF_PERCPU_ARRAY(depth, u64, 2);

int hello(struct bpf_raw_tracepoint_args *ctx)
{
	u64 nr = ctx->args[1];
	int now = 0;
	u64 *calls = depth.lookup(&now);

	if (calls)
		*calls = 0;
	syscalls.call(ctx, nr);
	return 0;
}

int hello_exec(void *ctx)
{
	int now = 0, longest = 1;
	u64 *calls = depth.lookup(&now);

	if (!calls)
		return 0;
	*calls += 1;
	chain.call(ctx, 0);
	depth.update(&longest, calls); /* only behind a call that was not made */
	return 0;
}
