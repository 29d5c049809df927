BPF_HASH(seen, u64, u64);

int hello(void *ctx) {
	u64 key = 1;
	u64 *address = seen.lookup(&key);
	if (!address)
		return 0;
	asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(key) : "r"(*address));
	return key;
}
