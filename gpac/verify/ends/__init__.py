"""When solutions end: blow-ups of components alone and of coupled states."""
