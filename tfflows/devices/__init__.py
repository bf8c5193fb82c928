"""Computing on several devices: strategies, their shares of a batch, parts of a batch side by side."""

from typing import TYPE_CHECKING

from tfflows.lazy import lazy_exports

if TYPE_CHECKING:  # for readers and tools; the table below is what runs
    from tfflows.devices.agreement import (
        WorkersDisagree,
        check_workers_agree,
        differences,
        gather_texts,
        settings_of_optimizer,
        settings_of_variables,
        source_fingerprint,
        wait_for_all,
    )
    from tfflows.devices.clusters import cluster_size, resolve_cluster, workers_on_this_machine
    from tfflows.devices.cores import (
        automatic_parts,
        available_cores,
        check_side_by_side,
        parts_of_batch,
        parts_of_process,
        set_threads,
    )
    from tfflows.devices.stopping import StopRequest, exit_on_sigterm, make_any_worker, stop_on_sigterm
    from tfflows.devices.strategies import (
        check_batch_divides,
        default_steps_per_execution,
        distributed_evaluation_batches,
        distributed_training_batches,
        is_chief,
        make_strategy,
        num_local_replicas,
        num_workers,
        process_options,
        round_up_to_replicas,
        side_by_side,
        trim_graph_optimizer,
        use_cores,
        worker_index,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "agreement": [
            "WorkersDisagree",
            "check_workers_agree",
            "differences",
            "gather_texts",
            "settings_of_optimizer",
            "settings_of_variables",
            "source_fingerprint",
            "wait_for_all",
        ],
        "clusters": ["cluster_size", "resolve_cluster", "workers_on_this_machine"],
        "cores": [
            "automatic_parts",
            "available_cores",
            "check_side_by_side",
            "parts_of_batch",
            "parts_of_process",
            "set_threads",
        ],
        "stopping": ["StopRequest", "exit_on_sigterm", "make_any_worker", "stop_on_sigterm"],
        "strategies": [
            "check_batch_divides",
            "default_steps_per_execution",
            "distributed_evaluation_batches",
            "distributed_training_batches",
            "is_chief",
            "make_strategy",
            "num_local_replicas",
            "num_workers",
            "process_options",
            "round_up_to_replicas",
            "side_by_side",
            "trim_graph_optimizer",
            "use_cores",
            "worker_index",
        ],
    },
)
