"""Tuning: candidates of the search spaces measured in parallel, and what was measured kept for the compiler."""
