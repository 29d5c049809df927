BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = 1;
	u64 *n = counter_table.lookup(uid);
	if (n)
		(*n)++;
	return 0;
}
