"""Mutation testing of the RTL: plants single faults in its source and counts how many the tests catch."""
