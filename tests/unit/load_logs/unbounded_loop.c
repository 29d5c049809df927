int hello(void *ctx) {
	u32 n = bpf_get_prandom_u32();
	u32 sum = 0;
	for (u32 i = 0; i < n; i++)
		sum += bpf_get_smp_processor_id();
	return sum;
}
