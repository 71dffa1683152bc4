"""Parts with very many states, followed level by level."""
