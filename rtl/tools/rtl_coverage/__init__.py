"""Coverage of the RTL by the cocotb benches and random programs, merged into one report (`make coverage-rtl`)."""
