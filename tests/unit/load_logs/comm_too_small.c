int hello(void *ctx) {
	char command[8];
	bpf_get_current_comm(&command, 16);
	return command[0];
}
