BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid();
	counter_tabel.increment(uid);
	return 0;
}
