// type: xdp
int hello(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data;
	return data[12] ? 2 : 1;
}
