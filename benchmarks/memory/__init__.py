"""What a worker keeps in memory, beside the formula of docs/memory.md."""
