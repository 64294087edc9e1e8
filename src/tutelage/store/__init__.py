"""The store of records, arrays and checkpoints. It needs no torch."""

from tutelage.store.files import DamageWarning, atomic_write, read_if_there
from tutelage.store.records import Record
from tutelage.store.store import Store
from tutelage.store.verify import Problem

__all__ = ["DamageWarning", "Problem", "Record", "Store", "atomic_write", "read_if_there"]
