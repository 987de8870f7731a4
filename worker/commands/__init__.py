"""What each command does; ``worker.cli`` is how people call them."""
