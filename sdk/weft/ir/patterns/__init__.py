"""One matcher per operator family: from nodes of the integer graph to an operator, or a reason why not."""
