"""History that cannot be rewritten quietly: entries chained per unit of work, and a root over all of them."""
