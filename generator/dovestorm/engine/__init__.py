"""The session machine: a compiled scenario, all live sessions as columns, and the batches that come of them."""
