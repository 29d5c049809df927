BPF_ARRAY(table, u64, 1);

int hello(void *ctx) {
	int zero = 0;
	u64 *value = table.lookup(&zero);
	if (value)
		asm volatile("w1 = w1\nr1 = %0\nw1 += 4" :: "r"(value));
	return 0;
}
