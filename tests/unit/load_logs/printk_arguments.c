int hello(void *ctx) {
	u64 pid = bpf_get_current_pid_tgid();
	bpf_trace_printk("%d %d %d %d", pid, pid, pid, pid);
	return 0;
}
