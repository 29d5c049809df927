BPF_ARRAY(table, u64, 1);

int hello(void *ctx) {
	int zero = 0;
	u64 *value = table.lookup(&zero);
	if (value) {
		value = (u64 *)((u64)value & ~7ULL);
		*value = 1;
	}
	return 0;
}
