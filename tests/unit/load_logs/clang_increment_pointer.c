BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = 1;
	counter_table.increment(&uid);
	return 0;
}
