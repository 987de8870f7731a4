"""What a worker shows on its console: ``live`` remembers what it is told, ``view`` makes the page's parts of it."""
