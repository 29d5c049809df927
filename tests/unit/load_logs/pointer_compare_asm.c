BPF_ARRAY(table, u64, 1);

int hello(void *ctx) {
	int zero = 0;
	u64 *value = table.lookup(&zero);
	if (value)
		asm volatile("r1 = %0\nr1 *= 2" :: "r"(value));
	return 0;
}
