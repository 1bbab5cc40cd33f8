"""The environment variables of zoo, with their purpose."""

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
    "ZOO_IMPORTS": "modules that a run may import for a network or data of your own, with commas between",
    "ZOO_TRACK": "trackers that record runs, with commas between",
    "ZOO_KEY_PASSWORD": "password of the private key of `--sign`; never printed",
}
SWITCHES = ("ZOO_OFFLINE", "ZOO_STRICT_PLUGINS")
"""The variables with the values 0 and 1."""
SECRET = ("ZOO_KEY_PASSWORD",)
"""The variables whose values are never printed or stored."""
