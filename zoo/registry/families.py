"""Families of architectures: which members a library has, and the spec of one."""

from __future__ import annotations

from zoo import api
from zoo.errors import PluginError
from zoo.registry.catalogue import Item, Member
from zoo.registry.family_cache import listed, spec_of
from zoo.registry.plugin_calls import blame, in_plugin, load_object
from zoo.registry.snapshot import package_state


def names_of(key: str, family: Item[api.FamilySpec]) -> frozenset[str]:
    """The names of its members; ``key`` is ``namespace/name``. Raises PluginError."""
    try:
        return frozenset(listed(key, _owner(family), _family(family)))
    except PluginError:
        raise
    except Exception as error:
        raise blame(family, "could not be listed", error, family.spec.target) from error


def _owner(family: Item[api.FamilySpec]) -> str:
    plugin = family.plugin
    # the files as well: an editable install keeps its version
    return f"{plugin.distribution} {plugin.version} {package_state(plugin.module)}"


def _family(item: Item[api.FamilySpec]) -> api.Family:
    family: api.Family = load_object(item.spec.target, item)
    return family


def described(member: Member) -> Item[api.ArchitectureSpec]:
    """What its family says of a member. Raises PluginError where that is no spec of this name."""
    item = member.family
    family, key, package = _family(item), f"{item.plugin.namespace}/{item.spec.name}", item.plugin.module
    try:
        with in_plugin(item, f"describing {member.name}"):
            spec = spec_of(key, _owner(item), family, member.name, package)
    except Exception as error:
        raise blame(member.family, f"could not describe '{member.name}'", error, member.family.spec.target) from error
    if not isinstance(spec, api.ArchitectureSpec) or spec.name != member.name:
        wrong = TypeError(f"an ArchitectureSpec of that name is due, not {spec!r:.60}")
        raise blame(member.family, f"could not describe '{member.name}'", wrong, member.family.spec.target)
    return Item("architecture", spec, member.family.plugin)
