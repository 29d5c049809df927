// type: kprobe
int hello(struct pt_regs *ctx) {
	u64 x, i = bpf_get_prandom_u32() & 3;
	asm volatile("r1 = %1\nr1 += %2\n%0 = *(u64 *)(r1 + 0)" : "=r"(x) : "r"(ctx), "r"(i));
	return x;
}
