"""What Convoscope uses of PyTorch that is not promised to stay, each with what stands in for it."""

from collections.abc import Mapping
from typing import Any


def state_versions(state: Mapping[Any, Any]) -> dict[str, int]:
    """The version of the format of each module in a state dict, by the module's name.

    PyTorch keeps them in an attribute of the dictionary. Where it is missing nothing is known of them, and a
    module that is loaded takes its own.
    """
    metadata = getattr(state, "_metadata", None)
    if not isinstance(metadata, Mapping):
        return {}
    found = {path: m.get("version") for path, m in metadata.items() if isinstance(m, Mapping)}
    return {path: v for path, v in found.items() if isinstance(path, str) and type(v) is int}


def set_state_versions(state: Mapping[Any, Any], versions: Mapping[str, int]) -> None:
    """Say in which version of its format the state of some modules is; the others keep theirs."""
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        for path, version in versions.items():
            metadata.setdefault(path, {})["version"] = version
