"""LlamaIndex parts of frugal-cascade; none is written yet, the policy files are the same."""

__all__: list[str] = []
