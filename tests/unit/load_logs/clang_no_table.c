int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid();
	counter_table.increment(uid);
	return 0;
}
