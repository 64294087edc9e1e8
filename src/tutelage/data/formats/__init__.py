"""The formats in which data sets come: recognised by what lies at a path, and read into arrays.

Each module reads one: `cifar` (binary, and `pickles` that run nothing), `idx`, `npz`,
`image_folder`, `table` (CSV), `arrow` (Parquet, and what Hugging Face's datasets saves). Each
offers find(path), which recognises; the rest follows from what it returns.
"""

from tutelage.data.formats.found import Found, ImageSet, Listed, Options, Part, stamps
from tutelage.data.formats.recognise import recognise

__all__ = ["Found", "ImageSet", "Listed", "Options", "Part", "recognise", "stamps"]
