"""What can go wrong with Pulumi's engine. Each text says what to do about it.

EngineError
├── NoEngineError       no engine could be found, downloaded or built
├── BuildError          what the build lacked, or its last lines
└── ProjectError        the stack cannot be used
    └── StackBusyError  another pulumi is working on the stack
"""


class EngineError(Exception):
    """Whatever keeps the engine from doing what was asked."""


class NoEngineError(EngineError):
    """No engine could be found, downloaded or built."""


class BuildError(EngineError):
    """What the build lacked, or its last lines."""


class ProjectError(EngineError):
    """A stack that cannot be used."""


class StackBusyError(ProjectError):
    """Another pulumi is working on this stack."""
