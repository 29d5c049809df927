BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid();
	u64 *n = counter_table.lookup((u64 *)uid);
	return n != 0;
}
