"""Chains: neighbouring operators whose tensors between them stay in the scratchpad, whole or tile of rows by tile of
rows."""
