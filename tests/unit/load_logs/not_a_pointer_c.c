BPF_HASH(names, u64, u64);

int hello(void *ctx) {
	u64 key = 1;
	u64 *address = names.lookup(&key);
	if (address && ((char *)*address)[1] == 'x')
		return 1;
	return 0;
}
