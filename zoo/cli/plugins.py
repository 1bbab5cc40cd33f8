"""``zoo plugins``"""

from __future__ import annotations

from zoo.cli.output import json_alone
from zoo.cli.plugin_table import print_plugins
from zoo.cli.shared_options import AsJson
from zoo.registry.lookup import registry


def plugins(as_json: AsJson = False) -> None:
    with json_alone(as_json):
        found = registry().plugins
    print_plugins(found, as_json=as_json)
