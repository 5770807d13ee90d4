"""Networks of others made fit for analysis: nothing in place, each activation a module used once.

torchvision's ResNets call one ReLU several times and let it overwrite its input; DenseNets call a function
where a module could be watched. A hook on such a module sees the last call only, guided backprop and
DeepLIFT mix the calls up. Here every call gets a module of its own. Parameters, their names and the outputs
stay what they were, to the last bit.
"""

import ast
import copy
import functools
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.compute.own_forward import own_forward, set_forward
from core.compute.tracing import Tracer, copy_for_tracing

# Functions that become modules; the second entry is the module's name in its parent.
_FUNCTIONS: dict[Any, tuple[type[nn.Module], str]] = {
    F.relu: (nn.ReLU, "relu"),
    F.relu_: (nn.ReLU, "relu"),
    torch.relu: (nn.ReLU, "relu"),
    torch.relu_: (nn.ReLU, "relu"),
    F.leaky_relu: (nn.LeakyReLU, "leaky_relu"),
    F.relu6: (nn.ReLU6, "relu6"),
    F.gelu: (nn.GELU, "gelu"),
    F.silu: (nn.SiLU, "silu"),
    F.hardswish: (nn.Hardswish, "hardswish"),
    F.hardsigmoid: (nn.Hardsigmoid, "hardsigmoid"),
    F.elu: (nn.ELU, "elu"),
    F.sigmoid: (nn.Sigmoid, "sigmoid"),
    torch.sigmoid: (nn.Sigmoid, "sigmoid"),
    torch.tanh: (nn.Tanh, "tanh"),
    "relu": (nn.ReLU, "relu"),
    "relu_": (nn.ReLU, "relu"),
    "sigmoid": (nn.Sigmoid, "sigmoid"),
    "tanh": (nn.Tanh, "tanh"),
}


def prepare_for_analysis(module: nn.Module) -> nn.Module:
    """Change a network, in place, so that every activation can be watched on its own; return it.

    1. Activations stop overwriting their input.
    2. A module without parameters that stands at two places in the network becomes two modules.
    3. Where a block's forward calls such a module twice, calls an activation as a function or adds in place,
       the block gets a forward with one module for each call. The new modules are named after the old ones
       ("relu_2"). Blocks whose forward depends on the values it sees cannot be rewritten and keep it;
       `not_rewritten` lists them. In training mode a block runs its old forward.

    A network on the device "meta" is looked at for its shapes alone and stays as it is: following a forward
    changes PyTorch for all threads at once, and may be done only where the models are.

    Returns:
        The same module, in evaluation mode, with the same state dict.
    """
    module.eval()
    if any(parameter.is_meta for parameter in module.parameters()):
        return module
    stop_in_place(module)
    _separate_places(module)
    for _, block in list(module.named_modules()):
        _rewrite(block)
    return module


def stop_in_place(module: nn.Module) -> None:
    """Set `inplace` to false wherever a module has it."""
    for part in module.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]


def not_rewritten(module: nn.Module) -> dict[str, str]:
    """Names of the blocks that still need a rewrite but cannot have one, with the reason."""
    found = {}
    for name, block in module.named_modules():
        if _needs_a_look(block):
            graph = _traced(block)
            if isinstance(graph, str):
                found[name or type(block).__name__] = graph
    return found


def _separate_places(module: nn.Module) -> None:
    seen: set[int] = set()
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if id(child) in seen and _is_plain(child):
            module.set_submodule(path, copy.deepcopy(child))
        seen.add(id(child))


def _is_plain(module: nn.Module) -> bool:
    """Without children, parameters or buffers, so that a copy behaves the same for ever."""
    return not any(True for _ in module.children()) and not module.state_dict()


def _needs_a_look(block: nn.Module) -> bool:
    """Whether its forward is our business: Python of others that calls children or an activation."""
    forward = type(block).forward
    if own_forward(block) is not None:
        return False  # it was rewritten before
    if isinstance(block, nn.Sequential | nn.ModuleList | nn.ModuleDict | torch.jit.ScriptModule):
        return False
    if type(block).__module__.startswith("torch.nn.") or not inspect.isfunction(forward):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, TypeError, SyntaxError):
        return False
    calls: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            calls[name] += 1
            # `self._forward(x)` leads elsewhere: look at what it does by tracing.
            own = name.removeprefix("self.")
            if "." not in own and own != name and not isinstance(getattr(block, own, None), nn.Module):
                return True
            if name.split(".")[-1] in {getattr(f, "__name__", f) for f in _FUNCTIONS}:
                return True
    children = dict(block.named_children())
    return any(n > 1 and name.removeprefix("self.") in children for name, n in calls.items())


class _ChildrenAsLeaves(Tracer):
    """Follows one forward only; what its children do stays theirs, so that hooks on them still fire."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential | nn.ModuleList) or bool(len(m))


def _traced(block: nn.Module, given: frozenset[str] = frozenset()) -> fx.Graph | str:
    """The graph of a block's forward with the optional arguments in `given` and no others, or why not."""
    parameters = inspect.signature(type(block).forward).parameters.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return "its forward takes any number of arguments"
    absent = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in given}
    try:
        twin = copy_for_tracing(block)
        graph = _ChildrenAsLeaves().trace(twin, concrete_args=absent or None)
        for node in graph.nodes:  # constants that tracing has put into the copy
            if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
                setattr(block, str(node.target), getattr(twin, str(node.target)))
        return graph
    except Exception as error:  # noqa: BLE001 -- a forward is a stranger's code and fails in its own ways
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _rewrite(block: nn.Module) -> None:
    if not _needs_a_look(block):
        return
    parameters = inspect.signature(type(block).forward).parameters.values()
    optional = [p.name for p in parameters if p.default is not p.empty]
    # One graph for each way the block may be called; more than two optional arguments are left at rest.
    ways = [frozenset(names) for n in range(3) for names in combinations(optional[:2], n)]
    forwards: dict[frozenset[str], Callable[..., Any]] = {}
    for given in ways:
        graph = _traced(block, given)
        if isinstance(graph, fx.Graph) and _split_calls(block, graph):
            graph.lint()
            forwards[given] = type(fx.GraphModule(block, graph)).forward
    if forwards:
        _set_forward(block, forwards)


def _split_calls(block: nn.Module, graph: fx.Graph) -> bool:
    """Give every call of an activation a module of its own; say whether the graph is worth keeping."""
    modules = dict(block.named_modules())
    uses: Counter[str] = Counter()
    changed = "+=" in inspect.getsource(type(block).forward)
    for node in graph.nodes:
        name, part = None, None
        if node.op == "call_module":
            uses[node.target] += 1
            if uses[node.target] > 1 and _is_plain(modules[node.target]):
                name, part = node.target.replace(".", "_"), modules[node.target]
        elif node.op in ("call_function", "call_method") and node.target in _FUNCTIONS:
            part, name = _as_module(node) or (None, None)
            uses[name or ""] += 1
        if name is not None and part is not None:
            node.target = _place(
                block, name, uses[node.target] if node.op == "call_module" else uses[name], part
            )
            node.op, node.args, node.kwargs = "call_module", node.args[:1], {}
            changed = True
    return changed


def _place(block: nn.Module, name: str, number: int, part: nn.Module) -> str:
    """The name of the module for the n-th call; the ways of calling a block share their modules."""
    placed = block.__dict__.setdefault("_placed_for_analysis", {})
    if (name, number) not in placed:
        free, n = (name, number) if number == 1 else (f"{name}_{number}", number)
        while hasattr(block, free):
            n += 1
            free = f"{name}_{n}"
        block.add_module(free, copy.deepcopy(part))
        placed[name, number] = free
    return placed[name, number]


def _as_module(node: fx.Node) -> tuple[nn.Module, str] | None:
    """A module that does what the function call does, and a name for it."""
    kind, name = _FUNCTIONS[node.target]
    arguments = list(node.args[1:])
    settings = {k: v for k, v in node.kwargs.items() if k not in ("inplace", "input")}
    if not node.args or any(isinstance(v, fx.Node) for v in [*arguments, *settings.values()]):
        return None
    taken = [p for p in inspect.signature(kind).parameters if p != "inplace"]
    if kind in (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Hardsigmoid):
        arguments = []  # all that could follow is `inplace`
    return kind(**dict(zip(taken, arguments, strict=False)), **settings), name


def _set_forward(block: nn.Module, forwards: dict[frozenset[str], Callable[..., Any]]) -> None:
    """Let this block run its graph in evaluation mode.

    Class, names, children and state dict stay.
    """
    of_its_class = type(block).forward
    signature = inspect.signature(of_its_class)
    defaults = {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}

    @functools.wraps(of_its_class)  # `torch.fx` reads the names of the arguments
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = frozenset(name for name, value in defaults.items() if bound.arguments[name] is not value)
        if self.training or given not in forwards:
            return of_its_class(self, *args, **kwargs)
        return forwards[given](*bound.arguments.values())

    set_forward(block, forward)
