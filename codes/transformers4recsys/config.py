"""Every flag of every command: a documented field each, checked as soon as it is parsed."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from typing import Any

import torch
import transformers

from transformers4recsys import distributed
from transformers4recsys.errors import InputError


def flag(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    """Declare a flag: its default, its line in --help, and the values allowed where they are few."""
    metadata: dict[str, Any] = {"help": help}
    if choices:
        metadata["choices"] = choices
    return field(default=default, metadata=metadata)


def at_least(least: float, config: Any, *names: str) -> None:
    """Raise InputError if a field of `config` is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise InputError(f"--{name} {getattr(config, name)}: must be at least {least}")


def required(config: Any, *names: str) -> None:
    """Raise InputError if a field of `config` was not given."""
    missing = [f"--{name}" for name in names if not getattr(config, name)]
    if missing:
        raise InputError(f"{', '.join(missing)} must be given; --help tells the flags")


def between_0_and_1(config: Any, *names: str) -> None:
    """Raise InputError if a field of `config` is not in [0, 1)."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"--{name} {getattr(config, name)}: must be at least 0 and below 1")


# Smaller sizes leave no byte for the parts that memory is shared out to.
LEAST_BYTES = 1_000


def bytes_of(config: Any, name: str) -> int:
    """Give the bytes that a field such as 500MB or 1.5GB stands for; InputError if it is no such thing."""
    given = str(getattr(config, name))
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])B", given.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1_000 ** (1 + "KMGT".index(match[2].upper()))) if match else 0
    if size < LEAST_BYTES:
        raise InputError(f"--{name} {given}: write a size of 1KB or more in KB, MB, GB or TB, such as 500MB or 1.5GB")
    return size


@dataclass
class DataArguments:
    """Data: where the sessions are and how they are read"""

    data_path: str | None = flag(None, "folder or URI of the day files session_start_date=YYYY-MM-DD-train.parquet ...")
    start_date: str | None = flag(None, "first day, YYYY-MM-DD (-HH with --time_unit hour)")
    end_date: str | None = flag(None, "last day, inclusive")
    time_unit: str = flag("day", "what one file holds", ("day", "hour"))
    missing_days: str = flag(
        "error", "a day without its files: stop before training, or go on without it", ("error", "skip")
    )
    feature_config: str | None = flag(None, "YAML or JSON that names the columns")
    feature_prefix_neg_sample: str = flag("_neg_", "prefix of columns that hold negative samples")
    data_loader_engine: str = flag("pyarrow", "reader; nvtabular and petastorm have an environment of their own")
    nvt_part_mem_fraction: float = flag(
        0.1, "share of the GPU's memory for an NVTabular partition, of the host's without cuDF"
    )
    petastorm_reader_pool_type: str = flag("thread", "petastorm's pool", ("thread", "process", "dummy"))
    workers_count: int = flag(8, "reading workers of pyarrow and petastorm; 0 reads in the process itself")
    loader_memory: str = flag(
        "4GB", "memory to read in, a process; what takes more is streamed by pyarrow, refused by the other engines"
    )
    shuffle_buffer_size: int = flag(
        0,
        "> 0 shuffles the training rows: all together where they fit in memory, else within blocks of a fifth of "
        "--loader_memory, whatever the number",
    )
    session_seq_length_max: int = flag(20, "longest session; longer ones keep their most recent items")
    session_aware: bool = flag(False, "put the user's past sessions in front of the current one")
    session_aware_features_prefix: str = flag("bef_", "prefix of the columns that hold the past")
    session_aware_past_seq_length_max: int = flag(20, "longest past; longer ones keep their most recent items")
    pad_token: int = flag(0, "padding id; 0 is the only one")
    mask_token: int = flag(0, "id of a masked item; 0 is the only one")

    def __post_init__(self) -> None:
        at_least(2, self, "session_seq_length_max")
        at_least(1, self, "session_aware_past_seq_length_max")
        at_least(0, self, "workers_count", "shuffle_buffer_size")
        bytes_of(self, "loader_memory")
        if not 0 < self.nvt_part_mem_fraction < 1:
            raise InputError(f"--nvt_part_mem_fraction {self.nvt_part_mem_fraction}: must be above 0 and below 1")
        for name in ("pad_token", "mask_token"):
            if getattr(self, name) != 0:
                raise InputError(f"--{name} {getattr(self, name)}: item id 0 is padding everywhere; leave the flag out")


@dataclass
class ModelArguments:
    """Model: features, encoder, scores and loss"""

    model_type: str = flag("gpt2", "encoder")
    model_name_or_path: str | None = flag(
        None, "start from saved weights: the output folder of a run, or a model of the transformers library"
    )
    config_name: str | None = flag(None, "name or folder of an architecture's own configuration")
    cache_dir: str | None = flag(None, "where downloaded weights and configurations are kept")
    d_model: int = flag(256, "width of the encoder")
    n_layer: int = flag(12, "layers")
    n_head: int = flag(4, "attention heads")
    dropout: float = flag(0.1, "dropout")
    hidden_act: str = flag("gelu", "activation inside the encoder")
    layer_norm_eps: float = flag(1e-12, "epsilon of the layer norms")
    initializer_range: float = flag(0.02, "standard deviation of initial weights")
    attn_type: str = flag("uni", "XLNet's direction", ("uni", "bi"))
    summary_type: str = flag("last", "XLNet's summary", ("last", "first", "mean", "cls_index", "attn"))
    disable_positional_embeddings: bool = flag(False, "leave positions out")
    axial_pos_shape_first_dim: int = flag(4, "Reformer: first axis of the axial positions")
    attn_chunk_length: int = flag(4, "Reformer: positions in an attention chunk")
    num_chunks_before: int = flag(1, "Reformer: chunks seen before its own")
    num_chunks_after: int = flag(0, "Reformer: chunks seen after its own")
    chunk_size_feed_forward: int = flag(0, "Reformer: positions a feed-forward chunk; 0 for all")
    lsh_num_hashes: int = flag(2, "Reformer: rounds of hashing")
    inp_merge: str = flag("mlp", "how joined features become d_model", ("mlp", "attn"))
    tf_out_activation: str = flag("relu", "after the output projection", ("relu", "tanh"))
    mlm: bool = flag(False, "learn masked items instead of next ones")
    mlm_probability: float = flag(0.15, "share of items that are masked")
    loss_type: str = flag("cross_entropy", "loss; case does not matter")
    similarity_type: str = flag("concat_mlp", "for losses on negative columns", ("concat_mlp", "multi_mlp", "cosine"))
    margin_loss: float = flag(0.0, "margin of margin_hinge")
    all_rescale_factor: float = flag(1.0, "weight of the loss over the catalogue")
    neg_rescale_factor: float = flag(0.0, "weight of the loss on negative columns")
    loss_scale_factor: float = flag(1.0, "weight of the whole loss")
    use_ohe_item_ids_inputs: bool = flag(False, "one-hot item ids as input")
    constrained_embeddings: bool = flag(False, "one d_model wide table for item inputs and output weights")
    mf_constrained_embeddings: bool = flag(False, "score by the item input table, at its own width, plus a bias")
    negative_sampling: bool = flag(False, "pairwise loss against items of the other sessions in the batch")
    neg_sampling_store_size: int = flag(1_000_000, "ids drawn ahead for extra negatives")
    neg_sampling_extra_samples_per_batch: int = flag(32, "extra negatives a batch")
    neg_sampling_alpha: float = flag(0.0, "extra negatives follow popularity to this power")
    bpr_max_reg_lambda: float = flag(0.0, "regularisation of bpr_max_reg and top1_max_reg")
    num_sampled_negatives: int = flag(256, "negatives a batch of sampled_softmax and gbce")
    sparse_item_updates: bool = flag(
        False,
        "large catalogues: a step moves the rows of item tables that it read, no others; not quite AdamW",
    )
    gbce_t: float = flag(0.75, "calibration of gbce: 0 none, 1 full")

    def __post_init__(self) -> None:
        at_least(1, self, "d_model", "n_layer", "n_head")
        between_0_and_1(self, "dropout", "mlm_probability")
        self.loss_type = self.loss_type.lower()
        if self.constrained_embeddings and self.mf_constrained_embeddings:
            raise InputError("--constrained_embeddings and --mf_constrained_embeddings exclude each other; choose one")


@dataclass
class TrainingArguments(transformers.TrainingArguments):
    """Training and evaluation: one day after the other"""

    output_dir: str | None = flag(None, "where all results go")
    overwrite_output_dir: bool = flag(False, "start anew in an output folder that has results already")
    model_parallel: bool = flag(False, "accepted for old launch lines; several processes are DistributedDataParallel")
    learning_rate_schedule: str = flag(
        "constant_with_warmup",
        "restarts each day",
        ("constant_with_warmup", "linear_with_warmup", "cosine_with_warmup"),
    )
    learning_rate_warmup_steps: int = flag(0, "steps of rising learning rate at the start of a day")
    learning_rate_num_cosine_cycles_by_epoch: float = flag(1.25, "cosine waves an epoch")
    training_time_window_size: int = flag(1, "train each day on the files of the last n days")
    train_on_last_item_seq_only: bool = flag(False, "the loss falls on the last item of each session alone")
    eval_on_last_item_seq_only: bool = flag(False, "metrics fall on the last item of each session alone")
    eval_on_test_set: bool = flag(False, "evaluate on test files in place of valid files")
    eval_steps_on_train_set: int = flag(20, "batches of the train files that are evaluated")
    validate_every: int = flag(-1, "also evaluate every n epochs inside a day; -1 never")
    compute_metrics_each_n_steps: int = flag(1, "metrics on each n-th evaluation batch only")
    predict_top_k: int = flag(10, "length of logged lists")
    log_predictions: bool = flag(False, "write each prediction to pred_logs/")
    log_attention_weights: bool = flag(False, "write attention weights of evaluation batches to attention_weights/")
    experiments_group: str = flag("default", "group of runs in W&B")
    report_to: None | str | list[str] = flag(
        "auto", "tensorboard, wandb, none; auto: TensorBoard, and W&B where it is installed and set up"
    )
    logging_nan_inf_filter: bool = flag(False, "leave NaN out of the logged mean loss; waits for a GPU")
    pyprof: bool = flag(False, "write a torch.profiler trace of the steps below")
    pyprof_start_step: int = flag(0, "first profiled step of the first day")
    pyprof_stop_step: int = flag(0, "last profiled step of the first day")

    # What was adjusted to this machine, to be told once.
    notes: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.save_steps == 0:
            self.save_strategy = "no"
        if self.eval_strategy != "no":
            raise InputError(
                f"--eval_strategy {self.eval_strategy}: each day is evaluated on the next one; "
                "for evaluations inside a day use --validate_every N (epochs)"
            )
        if self.fp16 and not torch.cuda.is_available():
            self.fp16 = False
            self.notes.append("--fp16 needs a CUDA GPU; none is here, so training is in fp32 (--bf16 works on the CPU)")
        # The library joins processes on CPUs only where it is told that there is nothing else.
        if not torch.accelerator.is_available() or self.bf16 and not torch.cuda.is_available():
            self.use_cpu = True
        self._require_plain_sharding()
        # The library would join them on its way here, and leave the timeout out on CPUs.
        timeout = timedelta(seconds=self.ddp_timeout)
        distributed.join(uses_cpu=self.use_cpu, timeout=timeout, backend=self.ddp_backend)
        try:
            super().__post_init__()
        except ValueError as error:
            raise InputError(str(error)) from error
        at_least(1, self, "training_time_window_size", "compute_metrics_each_n_steps", "predict_top_k")
        at_least(1, self, "per_device_train_batch_size", "per_device_eval_batch_size")
        at_least(0, self, "eval_steps_on_train_set", "learning_rate_warmup_steps", "learning_rate")
        between_0_and_1(self, "label_smoothing_factor")

    def _require_plain_sharding(self) -> None:
        if not self.fsdp:
            return
        if str(self.fsdp).lower() not in ("true", "full_shard"):
            raise InputError(f"--fsdp {self.fsdp}: give full_shard, the one kind that is here")
        self.fsdp = True  # pyright: ignore[reportAttributeAccessIssue]
        for name in ("fp16", "torch_compile", "fsdp_config"):
            if getattr(self, name):
                raise InputError(f"--fsdp does not go with --{name} here; leave one of them out")
        if self.save_strategy != "no":
            self.save_strategy = "no"
            self.notes.append("--fsdp saves at the end of each day alone, not each --save_steps inside it")


@dataclass
class SimulateArguments:
    """Simulate: the raw click log of a made-up shop, a parquet file a day"""

    output: str | None = flag(None, "folder of the log files")
    days: int = flag(15, "days")
    sessions_per_day: int = flag(10_000, "sessions that start on a day")
    items: int = flag(10_000, "products, those launched on later days among them")
    start_date: str = flag("2019-10-01", "first day, YYYY-MM-DD")
    seed: int = flag(0, "the same seed gives the same log")

    def __post_init__(self) -> None:
        required(self, "output")


@dataclass
class PreprocessArguments:
    """Preprocess: raw logs in, day files, feature config and vocabulary out"""

    input: list[str] | None = flag(None, "raw events: parquet, CSV or JSON lines files, patterns, or folders")
    output: str | None = flag(None, "folder of the day files; days that it has already are left as they are")
    recipe: str | None = flag(
        None,
        "name of a data set in datasets/, such as rees46, or a YAML file with any of the settings below, --files to "
        "--neg_decay, and names; flags go before it",
    )
    files: str | None = flag(None, "which files count in an --input that is a folder, such as clicks_*.csv")
    file_format: str | None = flag(
        None, "what the files are; without it, their names say so", ("csv", "json", "parquet")
    )
    separator: str | None = flag(None, "what separates CSV columns; found out without it")
    quote: str | None = flag(None, "what encloses CSV values, one character, or none; found out without it")
    encoding: str | None = flag(None, "encoding of CSV and JSON, such as cp1252 [that of the file's mark, else utf-8]")
    decimal: str | None = flag(None, "decimal sign of numbers in text [.]", (".", ","))
    bad_lines: str | None = flag(
        None, "what a broken line of CSV or JSON brings about: a message, or its count [refuse]", ("refuse", "skip")
    )
    missing_values: list[str] | None = flag(
        None, "text that stands for a missing value; empty text always does [NULL \\N]"
    )
    column_names: list[str] | None = flag(None, "names of the columns of CSV files that have no header")
    item_column: str | None = flag(None, "raw column of the item id")
    time_column: str | None = flag(None, "raw column of the time: timestamp, date, text, or a number since 1970")
    session_column: str | None = flag(None, "raw column of the session id; without it, a user's pauses end sessions")
    user_column: str | None = flag(
        None, "raw column of the user id, for past sessions (and sessions, without a session id)"
    )
    order_column: str | None = flag(
        None, "raw column of numbers that orders events of the same time; else the item does"
    )
    category_column: str | None = flag(None, "raw column of the item's category; prices are compared with its mean")
    price_column: str | None = flag(None, "raw column of the price")
    categorical_columns: list[str] | None = flag(None, "further raw columns that become ids")
    numeric_columns: list[str] | None = flag(None, "further raw columns of numbers, standardised")
    event_type_column: str | None = flag(None, "raw column of the event type")
    event_types: list[str] | None = flag(None, "types of events to keep; all without it")
    time_format: str | None = flag(None, "how times are written, such as %d/%m/%Y %H:%M:%S; ISO 8601 without it")
    epoch_unit: str | None = flag(None, "unit of times that are numbers since 1970 [s]", ("s", "ms", "us", "ns"))
    time_unit: str | None = flag(None, "what one file holds [day]", ("day", "hour"))
    session_gap_minutes: float | None = flag(None, "pause that ends a session [30 without --session_column, else none]")
    drop_repeats: str | None = flag(
        None, "which repeats of an item in a session are dropped [consecutive]", ("consecutive", "all", "none")
    )
    session_length_max: int | None = flag(None, "longest session; longer ones keep their last events [20]")
    past_length_max: int | None = flag(None, "longest past of a session's user, in columns bef_...; 0 for none [20]")
    fit_days: int | None = flag(
        None, "first days, or hours with --time_unit hour, on which numbers are standardised [1]"
    )
    spare_ids: float | None = flag(None, "share of ids kept free above the largest, for items of days to come [0]")
    split: str | None = flag(
        None,
        "a file a day; or one sequence a user (or session), with its last two items held out, cut at two dates, or as "
        "published [days]",
        ("days", "leave_one_out", "time", "given"),
    )
    split_column: str | None = flag(None, "raw column that says train, valid or test, with --split given")
    valid_from: str | None = flag(None, "first day of validation, with --split time [80 % of the events lie before it]")
    test_from: str | None = flag(None, "first day of the test, with --split time [90 % of the events lie before it]")
    k_core: int | None = flag(
        None, "least events of a user and of an item, fewer are left out until none is left; not with --split days [0]"
    )
    neg_samples: int | None = flag(
        None,
        "negatives a position, in the column _neg_ITEM: different items that are not in the session, drawn from the "
        "clicks of the days before its day; id 0, which losses skip, where too few are found, as on all of the first "
        "day: train from the second one; not with --split [0]",
    )
    neg_strategy: str | None = flag(
        None,
        "items are drawn all alike, by the age of their last click, by clicks weighted by age, or out of sessions "
        "that have the position's item, filled up by recent_popularity [uniform]",
        ("uniform", "recency", "recent_popularity", "session_cooccurrence"),
    )
    neg_window_days: int | None = flag(None, "days before the session's day that negatives are drawn from [7]")
    neg_decay: float | None = flag(
        None, "what a click's weight is multiplied by a day later; says nothing to uniform [0.8]"
    )
    allow_shared_sessions: bool = flag(False, "take session ids that several users have for one session each")
    allow_long_sessions: bool = flag(False, "take sessions that last longer than a day")
    allow_outlying_times: bool = flag(False, "take events later than now, and days far from all others")
    allow_empty_days: bool = flag(False, "write days on which no session has two events")
    start_date: str | None = flag(None, "first day of events to read, YYYY-MM-DD (-HH with --time_unit hour)")
    end_date: str | None = flag(None, "last day of events to read, inclusive")
    engine: str = flag("duckdb", "database that does the work", ("duckdb", "spark"))
    spark_master: str | None = flag(
        None, "master for --engine spark, such as local[2] [what spark-submit says, else local[*]]"
    )
    report: bool = flag(False, "describe all days of the output, and check them for leaks: report.html, report.json")
    memory_limit: str = flag("3GB", "memory of DuckDB, which also makes the report; what does not fit goes to the disk")
    threads: int = flag(0, "threads of DuckDB; 0 for one a core")
    temp_directory: str | None = flag(None, "folder for what does not fit in memory; the output folder without it")

    def __post_init__(self) -> None:
        required(self, "input", "output")
        at_least(0, self, "threads")
        bytes_of(self, "memory_limit")


@dataclass
class BenchmarkArguments:
    """Benchmark: speed and memory of loading, training and evaluation on made-up sessions, a process a run"""

    output: str | None = flag("benchmark", "folder of benchmark.csv, which gets a line a run, and benchmark.png")
    items: list[int] = field(default_factory=lambda: [10_000, 50_000], metadata={"help": "catalogue sizes"})
    lengths: list[float] = field(
        default_factory=lambda: [5.5, 12.0], metadata={"help": "mean session lengths, up to 20"}
    )
    sessions: list[int] = field(default_factory=lambda: [100_000, 400_000], metadata={"help": "sessions in the file"})
    losses: list[str] = field(
        default_factory=lambda: ["cross_entropy"],
        metadata={"help": "as --loss_type of train; sampled ones with --sparse_item_updates"},
    )
    precisions: list[str] = field(
        default_factory=lambda: ["fp32", "bf16"], metadata={"help": "of products: fp32, bf16, fp16 (GPU)"}
    )
    model_type: str = flag("gpt2", "encoder")
    d_model: int = flag(128, "width of the encoder and of the item tables")
    n_layer: int = flag(2, "layers")
    n_head: int = flag(4, "attention heads")
    batch_size: int = flag(256, "sessions a step")
    steps: int = flag(30, "measured steps of a run")
    repeats: int = flag(3, "runs of each set-up; medians are shown")
    threads: int = flag(0, "threads; 0 for one a core")
    workload: str | None = flag(None, "parquet file with a list column `items`, in place of made-up sessions")
    baseline: str | None = flag(None, "script to run beside each run, which takes the same sizes and prints JSON")

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "steps", "repeats")
        at_least(0, self, "threads")
        if min(self.items) < 2 or min(self.sessions) < 100 or not 2 < min(self.lengths) <= max(self.lengths) <= 20:
            raise InputError("--items from 2, --sessions from 100, --lengths between 2 and 20")
        if 0.9 * min(self.sessions) < self.batch_size:
            raise InputError(
                f"--sessions {min(self.sessions)}: nine tenths of them have to fill a --batch_size of {self.batch_size}"
            )
        if "fp16" in self.precisions and not torch.cuda.is_available():
            raise InputError("--precisions fp16 needs a GPU; bf16 works on the CPU")
        unknown = set(self.precisions) - {"fp32", "bf16", "fp16"}
        if unknown:
            raise InputError(f"--precisions {', '.join(sorted(unknown))}: choose among fp32, bf16, fp16")


def changed(settings: Any) -> dict[str, Any]:
    """Give the fields that differ from their defaults."""
    return {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if each.default is not MISSING and getattr(settings, each.name) != each.default
    }
