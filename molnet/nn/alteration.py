"""Whether modules do more when they are called than their classes say."""

from torch import nn


def altered(root: nn.Module) -> str | None:
    """The first module whose call does more than its class's ``forward``, and why; None if none.

    PyTorch has no public way to ask whether a module has hooks.
    """
    if nn.modules.module._has_any_global_hook():
        return "hooks on all modules (torch.nn.modules.module.register_module_...) are at work"
    modules = [root]
    for module in modules:
        own = module.__dict__
        hooks = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"]
        if hooks or own["_backward_pre_hooks"] or "forward" in own:
            name = next(name for name, found in root.named_modules() if found is module)
            what = "a forward of its own" if "forward" in own else "a hook"
            return f"{name or 'the whole'} ({type(module).__name__}) has {what}"
        if children := own["_modules"]:
            modules += filter(None, children.values())
    return None
