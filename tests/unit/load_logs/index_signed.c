struct slots {
	u64 count[8];
};
BPF_ARRAY(table, struct slots, 1);
BPF_ARRAY(config, long, 1);

int hello(void *ctx) {
	int zero = 0;
	long *index = config.lookup(&zero);
	struct slots *s = table.lookup(&zero);
	if (!s || !index || *index > 7)
		return 0;
	s->count[*index]++;
	return 0;
}
