"""The shop: a small real service that the demo breaks and Penelope heals. It knows nothing of Penelope."""
