"""Networks by name, their seeded initial weights, and what they cost.

`catalog` reads names and needs no PyTorch; `build` makes networks; `cost` counts.
"""
