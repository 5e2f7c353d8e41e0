"""Runs modules that come on standard input, as JSON: {modules: [[name, source]], entry, arguments}.

The entry's main is called with the arguments. This text is what python3 -c gets, the same for
every program: nothing of what is sent shows in an argument list or stays on the machine's disk.
"""

import json
import sys
import types

sent = json.load(sys.stdin)
for name, source in sent["modules"]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        module = sys.modules.setdefault(path, types.ModuleType(path))
        # A package, as far as import statements are concerned.
        module.__path__ = []
        if length > 1:
            setattr(sys.modules[".".join(parts[: length - 1])], parts[length - 1], module)
    exec(compile(source, name, "exec"), sys.modules[name].__dict__)  # noqa: S102 - what it is for
sys.exit(sys.modules[sent["entry"]].main(*sent["arguments"]))
