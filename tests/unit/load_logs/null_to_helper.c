BPF_HASH(names, u64, u64);
BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 key = 1;
	u64 *id = names.lookup(&key);
	u64 *n = counter_table.lookup(id);
	if (n)
		(*n)++;
	return 0;
}
