BPF_ARRAY(table, u64, 1);

int hello(void *ctx) {
	int zero = 0;
	u64 *value = table.lookup(&zero);
	if (!value)
		return 0;
	for (int i = 0; i < 2000000; i++) {
		asm volatile("");
		*value += i;
	}
	return 0;
}
