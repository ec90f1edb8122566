"""Size of the RTL after synthesis by Yosys, and proof that it has neither latches nor combinational loops."""
