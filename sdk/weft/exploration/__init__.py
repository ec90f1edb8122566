"""Design space exploration: models on many machines, what each costs and how large it is."""
