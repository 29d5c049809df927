"""The panes: what each shows of its model, and its thread that polls its probe."""
