"""`preprocessing.json`: the settings, what was fitted, the days done, and counts that add up, call by call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ibis.expr import types as ir

from transformers4recsys.day_format import MANIFEST_FILE
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.steps.features import Number, Standardizer, fitted
from transformers4recsys.settings import if_changed

# Names that older files have in the place of those of today.
OLDER_NAMES = {"has_clock": "has_time_of_day", "deviation": "std"}


@dataclass
class Manifest:
    """What earlier calls left behind, and what this call adds; days by their label."""

    settings: dict[str, Any]
    has_time_of_day: bool = True
    fitted_days: list[str] = field(default_factory=list)
    fitted: dict[str, dict[str, float]] = field(default_factory=dict)
    cardinalities: dict[str, int] = field(default_factory=dict)
    days: dict[str, dict[str, int]] = field(default_factory=dict)
    last_time: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def standardizers(self) -> dict[str, Standardizer]:
        return {name: Standardizer(**numbers) for name, numbers in self.fitted.items()}

    def written_before(self, recipe: Recipe) -> int | None:
        """Time, in milliseconds, up to which all events have been read; None before the first call."""
        if not self.days:
            return None
        next_day = times.day_number(max(self.days), recipe.time_unit, flag=MANIFEST_FILE) + 1
        end = next_day * times.MILLISECONDS[recipe.time_unit]
        # A session with an id is known again; one cut by pauses is not, so no event may come twice.
        return end if recipe.gap_minutes is None else max(end, self.last_time + 1)

    def fitted_until(self, time_unit: str) -> int:
        """Number of the last day that features are fitted on."""
        return times.day_number(self.fitted_days[-1], time_unit, flag=MANIFEST_FILE)

    def choose_fitted_days(self, days: Sequence[int], recipe: Recipe) -> None:
        """Take the first of the days; raise InputError if there are too few."""
        if len(days) < recipe.fit_days:
            raise InputError(
                f"`fit_days` {recipe.fit_days}: the first log must hold as many {recipe.time_unit}s, "
                f"it holds {len(days)}"
            )
        self.fitted_days = [times.label(day, recipe.time_unit) for day in days[: recipe.fit_days]]

    def fit(self, database: Database, events: ir.Table, numbers: Mapping[str, Number]) -> None:
        """Record mean and standard deviation of the features on these events."""
        standardizers = fitted(database, events, numbers)
        self.fitted = {name: asdict(standardizer) for name, standardizer in standardizers.items()}

    def write(self, folder: Path) -> None:
        (folder / MANIFEST_FILE).write_text(
            json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    def grow(self, largest_ids: Mapping[str, int], spare: float) -> None:
        """Raise cardinalities that the ids have outgrown: to the largest id + 1, and `spare` of that on top."""
        for name, largest in largest_ids.items():
            if largest >= self.cardinalities.get(name, 0):
                self.cardinalities[name] = largest + 1 + int(spare * (largest + 1))


def open_manifest(output: Path, recipe: Recipe) -> Manifest:
    """Read the manifest of earlier calls, or begin one; raise InputError if the settings are not the same."""
    path = output / MANIFEST_FILE
    settings = json.loads(json.dumps(recipe.as_dict()))
    if not path.exists():
        return Manifest(settings)
    try:
        manifest = Manifest(**_renamed(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give an `output` of its own") from error
    # A setting that is younger than the output had no effect there.
    before = json.loads(json.dumps(recipe.defaults())) | manifest.settings
    may_change = {name for name, what in if_changed(Recipe).items() if what == "ignore"}
    changed = [
        f"{name} was {before.get(name)!r}, is {value!r}"
        for name, value in settings.items()
        if before.get(name) != value and name not in may_change
    ]
    if changed:
        raise InputError(
            f"`output` {output} has days made with other settings: {'; '.join(changed)}; "
            "give the same settings again, or another `output`"
        )
    return manifest


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Give a file of an older version the names of today."""
    fitted = {
        column: {OLDER_NAMES.get(name, name): number for name, number in numbers.items()}
        for column, numbers in values.get("fitted", {}).items()
    }
    return {OLDER_NAMES.get(name, name): value for name, value in values.items()} | {"fitted": fitted}
