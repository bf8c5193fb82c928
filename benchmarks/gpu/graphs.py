"""The operations that a traced function runs, those of the functions that it calls among them."""

import collections
from collections.abc import Iterator

import tensorflow as tf

LOOPS = ("While", "StatelessWhile")
BRANCHES = ("If", "StatelessIf")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class Operations:
    """The operations of a traced function, each with how often it runs; those that nothing needs do not.

    Example:
      >>> import tensorflow as tf
      >>> from benchmarks.gpu.graphs import Operations
      >>> square = tf.function(lambda x: x * x, experimental_attributes={"_noinline": True})
      >>> function = tf.function(lambda x: square(square(x))).get_concrete_function(tf.zeros([2, 3]))
      >>> for operation, times in Operations(function):
      ...     if operation.type == "Mul":
      ...         print(operation.outputs[0].shape, times)
      (2, 3) 2
    """

    def __init__(self, function: tf.types.experimental.ConcreteFunction, trip_count: int = 1) -> None:
        """Finds out which functions run how often.

        Args:
          function: The traced function.
          trip_count: How often each loop is taken to run.
        """
        self.trip_count = trip_count
        self._known, self._needed = {}, {}
        self._runs = self._runs_of(function.graph)

    def __iter__(self) -> Iterator[tuple[tf.Operation, int]]:
        """Yields each operation once, with the number of its runs."""
        for graph, times in self._runs.items():
            for operation in self._needed_in(graph):
                yield operation, times

    def _runs_of(self, graph):
        """How often each graph runs in one run of `graph`, itself among them."""
        if graph not in self._known:
            total = collections.Counter({graph: 1})
            for operation in self._needed_in(graph):
                for called, times in self._called(operation):
                    for below, runs in self._runs_of(called).items():
                        total[below] += times * runs
            self._known[graph] = total
        return self._known[graph]

    def _needed_in(self, graph):
        """The operations that outputs and effects of a graph depend on: TensorFlow takes the others out."""
        if graph not in self._needed:
            needed, open_ends = {}, [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
            while open_ends:
                operation = open_ends.pop()
                if operation not in needed:
                    needed[operation] = None
                    open_ends += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
            self._needed[graph] = list(needed)
        return self._needed[graph]

    def _called(self, operation):
        """The graphs that an operation runs, with how often; of two branches the longer one."""
        if operation.type in CALLS:
            return [(graph_of(operation, "f"), 1)]
        if operation.type in LOOPS:
            return [(graph_of(operation, name), self.trip_count) for name in ("cond", "body")]
        if operation.type in BRANCHES:
            branches = [graph_of(operation, name) for name in ("then_branch", "else_branch")]
            return [(max(branches, key=lambda branch: len(branch.get_operations())), 1)]
        return []


def graph_of(operation: tf.Operation, attribute: str) -> tf.Graph:
    """Returns the graph of the function that an attribute of an operation names."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph
