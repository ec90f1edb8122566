"""QDQ to integer operators, one file per operator family."""
