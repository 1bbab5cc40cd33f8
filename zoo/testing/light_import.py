"""Checks of a plugin's import: no torch or numpy, no changes of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from zoo.api import FamilySpec
from zoo.registry.catalogue import Plugin
from zoo.testing.faults import Finding

HEAVY = ("torch", "numpy")
IMPORT_SECONDS = 60


def import_findings(plugin: Plugin) -> Iterator[Finding]:
    """Import the plugin, call its hooks and list its families in a new interpreter. This must not import torch or
    numpy, nor change process-wide state."""
    script = (
        f"import sys, json, importlib, random; sys.path[:] = {sys.path!r}\n"
        "from zoo.registry.plugin_isolation import isolated\n"
        "changed = []\n"
        f"with isolated({plugin.namespace!r}, 'its import and registration', changed.append, draws=False):\n"
        f"    module = importlib.import_module({plugin.module!r})\n"
        "    [list(hook()) for name, hook in vars(module).items() if name.startswith('zoo_register_')]\n"
        "references = "
        f"{[spec.target.split(':') for spec in plugin.specs.get('family', ()) if isinstance(spec, FamilySpec)]!r}\n"
        "[list(getattr(importlib.import_module(module), attribute).names()) for module, attribute in references]\n"
        f"print(json.dumps([[name for name in {HEAVY!r} if name in sys.modules], changed]))"
    )
    environment = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=IMPORT_SECONDS,
        env=environment,
        check=False,
    )
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:]
        yield Finding("import", f"importing {plugin.module} in a new interpreter failed: {told}")
        return
    heavy, changed = json.loads(done.stdout.strip().splitlines()[-1])
    if heavy:
        advice = "refer to implementations as 'module:attribute' and import heavy packages there"
        yield Finding("import", f"importing {plugin.module} imports {' and '.join(heavy)}; {advice}")
    for text in changed:
        yield Finding("global_state", text)
