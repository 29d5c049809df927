// type: cgroup_skb
int hello(void *ctx) {
	return bpf_get_prandom_u32();
}
