BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = 1, *n;
	n = counter_table.lookup(&uid);
	if (n = 0)
		return 1;
	return 0;
}
