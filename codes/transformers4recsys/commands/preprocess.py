"""Where settings become a made-up log, and day files made of logs."""

from __future__ import annotations

import dataclasses
import logging

from transformers4recsys.config import PreprocessArguments, SimulateArguments
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe
from transformers4recsys.preprocessing.run import preprocess as preprocess_log
from transformers4recsys.simulation.simulate import simulate as simulate_log
from transformers4recsys.terminal import counted, progress_bar

log = logging.getLogger(__name__)


def simulate(arguments: SimulateArguments) -> None:
    """Write the log of a made-up shop and say what it holds."""
    counts: list[int] = []
    with progress_bar("simulate", arguments.days) as advance:

        def count(day: str, num_events: int) -> None:
            counts.append(num_events)
            advance()

        simulate_log(
            arguments.output or "",
            days=arguments.days,
            sessions_per_day=arguments.sessions_per_day,
            items=arguments.items,
            start_date=arguments.start_date,
            seed=arguments.seed,
            on_day=count,
        )
    log.info("%s: %s of %s", arguments.output, counted(sum(counts), "event"), counted(len(counts), "day"))


def preprocess(arguments: PreprocessArguments) -> None:
    """Turn raw logs into day files."""
    flags = {
        # A flag that is off says nothing, so that a recipe can say yes.
        field.name: None if getattr(arguments, field.name) is False else getattr(arguments, field.name)
        for field in dataclasses.fields(Recipe)
        if field.name != "names"
    }
    recipe = read_recipe(arguments.recipe, flags)
    if recipe.neg_strategy == "uniform" and arguments.neg_decay is not None:
        log.warning("--neg_decay has no effect: --neg_strategy uniform draws all items alike")
    for name in unused_engine_flags(arguments):
        log.warning("--%s has no effect: --engine %s has no use for it", name, arguments.engine)
    preprocess_log(
        arguments.input or [],
        arguments.output or "",
        recipe,
        start_date=arguments.start_date,
        end_date=arguments.end_date,
        memory_limit=arguments.memory_limit,
        threads=arguments.threads,
        temp_directory=arguments.temp_directory,
        engine=arguments.engine,
        spark_master=arguments.spark_master,
        with_report=arguments.report,
    )


def unused_engine_flags(arguments: PreprocessArguments) -> list[str]:
    """Name the flags that were given and that the engine has no use for; the report is DuckDB's on every engine."""
    of_duckdb = [] if arguments.report else ["memory_limit", "threads"]
    idle = of_duckdb if arguments.engine == "spark" else ["spark_master"]
    defaults = {field.name: field.default for field in dataclasses.fields(PreprocessArguments)}
    return [name for name in idle if getattr(arguments, name) != defaults[name]]
