"""The student that can be shipped: files, each checked against the original, and a model card.

`subject` finds what is exported, `formats` writes it, `parity` and `latency` measure it, `card`
says what is known of it, `opened` reads it back.
"""
