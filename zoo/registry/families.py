"""Families of architectures: which members a library has, and the spec of one."""

from __future__ import annotations

from zoo import api
from zoo.errors import PluginError
from zoo.registry.catalogue import Item, Member
from zoo.registry.family_cache import listed
from zoo.registry.plugin_calls import blame, in_plugin, load_object
from zoo.registry.snapshot import package_state


def names_of(key: str, family: Item[api.FamilySpec]) -> frozenset[str]:
    """The names of its members; ``key`` is ``namespace/name``. Raises PluginError."""
    plugin = family.plugin
    # the files as well: an editable install keeps its version
    owner = f"{plugin.distribution} {plugin.version} {package_state(plugin.module)}"
    try:
        return frozenset(listed(key, owner, _family(family)))
    except PluginError:
        raise
    except Exception as error:
        raise blame(family, "could not be listed", error, family.spec.target) from error


def _family(item: Item[api.FamilySpec]) -> api.Family:
    family: api.Family = load_object(item.spec.target, item)
    return family


def described(member: Member) -> Item[api.ArchitectureSpec]:
    """What its family says of a member. Raises PluginError where that is no spec of this name."""
    family = _family(member.family)
    try:
        with in_plugin(member.family, f"describing {member.name}"):
            spec = family.spec(member.name)
    except Exception as error:
        raise blame(member.family, f"could not describe '{member.name}'", error, member.family.spec.target) from error
    if not isinstance(spec, api.ArchitectureSpec) or spec.name != member.name:
        wrong = TypeError(f"an ArchitectureSpec of that name is due, not {spec!r:.60}")
        raise blame(member.family, f"could not describe '{member.name}'", wrong, member.family.spec.target)
    return Item("architecture", spec, member.family.plugin)
