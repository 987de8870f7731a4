"""Claim checks: references to bytes, from the allowed places only, within limits, checked."""

from worker.fetch.fetcher import Fetcher

__all__ = ["Fetcher"]
