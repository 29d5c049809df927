BPF_HASH(counter_table, u64, u64);

struct config {
	u32 verbose;
};

int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid();
	u64 one = 1, *n;
	n = counter_table.lookup(&uid);
	(*n)++;
	return 0;
}
