"""Hash lists: a folder with ``list.toml`` and its files, or one file, read and checked whole."""

from worker.lists.read import BARE_FILE, DEFAULT_LIMITS, Limits, read_list, read_lists

__all__ = ["BARE_FILE", "DEFAULT_LIMITS", "Limits", "read_list", "read_lists"]
