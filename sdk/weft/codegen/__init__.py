"""From operators of one region to instructions: storage, tiles, transfers, order, tokens."""
