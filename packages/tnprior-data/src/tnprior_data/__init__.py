"""Data sets as objects, attribute codes and a mask of what was observed.

>>> import tnprior_data
>>> ds = tnprior_data.load("digits", missing=0.3)
>>> ds.x.shape, ds.codes.shape, ds.observed.shape
(torch.Size([1438, 1, 8, 8]), torch.Size([1438, 1]), torch.Size([1438, 1]))
"""

from .cache import cache_folder
from .card import Card
from .dataset import Dataset
from .errors import DamagedFileError, DataError, MissingFilesError, TableError, UnknownNameError
from .faces.attributes import faces_distribution
from .faces.dataset import draw_faces
from .faces.network import BinaryNetwork, Conditional
from .folder import open_folder
from .registry import card, fetch, load, names
from .request import default_root
from .schema import Attribute, Schema, resolve, select
from .summary import Summary, mutual_information, summary
from .table import AttributeTable, format_table, write_table
from .table_read import read_table

__all__ = [
    "Attribute",
    "AttributeTable",
    "BinaryNetwork",
    "Card",
    "Conditional",
    "DamagedFileError",
    "DataError",
    "Dataset",
    "MissingFilesError",
    "Schema",
    "Summary",
    "TableError",
    "UnknownNameError",
    "cache_folder",
    "card",
    "default_root",
    "draw_faces",
    "faces_distribution",
    "fetch",
    "format_table",
    "load",
    "mutual_information",
    "names",
    "open_folder",
    "read_table",
    "resolve",
    "select",
    "summary",
    "write_table",
]
