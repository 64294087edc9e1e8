"""How good a network is, and how well it mimics its teacher, from its logits.

`metrics` and `mimicry` are NumPy on stored logits; `predict` makes the logits and needs PyTorch.
"""
