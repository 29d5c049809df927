int hello(void *ctx) {
	u32 n = bpf_get_prandom_u32(), sum = 0;
#pragma unroll
	for (u32 i = 0; i < n; i++)
		sum += bpf_get_prandom_u32();
	return sum;
}
