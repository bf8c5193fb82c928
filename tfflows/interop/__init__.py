"""Loading and exporting weights by the names of the authors' released code."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.interop.flowpp import ContextNames, context_places, step_places
    from tfflows.interop.places import Place, assign, check_names, fitted, halves, num_numbers, values_by_name, whole
    from tfflows.interop.sources import read_source
    from tfflows.interop.torch_files import read_torch_file
    from tfflows.interop.torch_pickles import Storage, Tensor, load

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "flowpp": ["ContextNames", "context_places", "step_places"],
        "places": ["Place", "assign", "check_names", "fitted", "halves", "num_numbers", "values_by_name", "whole"],
        "sources": ["read_source"],
        "torch_files": ["read_torch_file"],
        "torch_pickles": ["Storage", "Tensor", "load"],
    },
)
