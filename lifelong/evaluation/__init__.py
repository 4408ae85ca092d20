"""How well edits hold: probes from records, the harness that asks them, and what each figure means.

Nothing is imported here: reading figures takes no torch, only measuring does (`harness`, `run`, `arms`).
"""
