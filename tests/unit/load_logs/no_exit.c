int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid();
	if (uid == 7)
		bpf_trace_printk("seven");
	__builtin_unreachable();
}
