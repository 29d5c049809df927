BPF_ARRAY(table, u64, 1);

int hello(void *ctx) {
	int zero = 0;
	u64 *value = table.lookup(&zero);
	if (value)
		*(u64 **)ctx = value;
	return 0;
}
