struct slots {
	u64 count[8];
};
BPF_ARRAY(table, struct slots, 1);

int hello(void *ctx) {
	int zero = 0;
	struct slots *s = table.lookup(&zero);
	if (!s)
		return 0;
	s->count[8] = 1;
	return 0;
}
