"""``zoo schema``"""

from __future__ import annotations

from zoo.cli.output import json_alone, say_json


def schema() -> None:
    """It contains the keys of a configuration, the names of the installed components and the options of each.

    Editors with a YAML language server use it if this is the first line of the configuration:

    \b
    # yaml-language-server: $schema=zoo.schema.json
    """
    with json_alone(as_json=True):
        from zoo.config.json_schema import config_schema
        from zoo.registry.lookup import registry

        found = config_schema(registry())
    say_json(found)
