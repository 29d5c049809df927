struct task_struct;

int hello(void *ctx) {
	u64 (*task)(void) = (void *)158;
	u64 t = task(), x;
	asm volatile("%0 = *(u64 *)(%1 + 900000)" : "=r"(x) : "r"(t));
	return x;
}
