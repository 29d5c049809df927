int hello(void *ctx) {
	char a[200] = {}, b[200] = {};
	u64 n = bpf_get_prandom_u32() & 127;
	__builtin_memcpy(a, b, n);
	bpf_trace_printk("%s", a);
	return 0;
}
