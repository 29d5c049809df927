BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = 1, one = 1;
	counter_table.update(&uid);
	return 0;
}
