int hello(void *ctx) {
	u32 sum = 0;
	for (u32 i = 0; i < 20000; i++)
		if (bpf_get_prandom_u32() & 1)
			asm volatile("%0 += 3" : "+r"(sum));
	return sum;
}
