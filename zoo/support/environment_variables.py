"""The environment variables that the zoo reads, and what each is for."""

from __future__ import annotations

VARIABLES = {
    "ZOO_DATA": "datasets and weights",
    "ZOO_RUNS": "run directories",
    "ZOO_EXPORTS": "exported bundles",
    "ZOO_CACHE": "decoded images",
    "ZOO_CACHE_LIMIT": "most that the cache may hold",
    "ZOO_OFFLINE": "1 forbids every download",
    "ZOO_DISABLE_PLUGINS": "plugins not to load, with commas between",
    "ZOO_STRICT_PLUGINS": "1 makes a faulty plugin an error",
}
SWITCHES = ("ZOO_OFFLINE", "ZOO_STRICT_PLUGINS")
"""Those that are on or off."""
