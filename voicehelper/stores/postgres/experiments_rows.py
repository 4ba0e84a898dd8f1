"""Experiments as rows."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import asyncpg

from voicehelper.models.experiments.model import Chosen, Experiment, GuardRail, Target, Variant, Weights

EXPERIMENT: Final = (
    "id, tenant_id, name, description, target_kind, target, variants, weights, salt, primary_metric, goal, guard_rails,"
    " status, reason, version, started_at, stopped_at, created_at, updated_at"
)
CHOSEN: Final = (
    "variant, extract(epoch FROM assigned_at)::float8 AS at, extract(epoch FROM until)::float8 AS until, revision"
)


def experiment_of(row: asyncpg.Record) -> Experiment:
    """A row of `experiments`."""
    values: dict[str, Any] = dict(row)
    values["target"] = Target(values.pop("target_kind"), values["target"])
    values["variants"] = tuple(Variant(**{**plain, "models": tuple(plain["models"])}) for plain in values["variants"])
    values["weights"] = tuple(Weights(**{**plain, "shares": tuple(plain["shares"])}) for plain in values["weights"])
    values["guard_rails"] = tuple(GuardRail(**plain) for plain in values["guard_rails"])
    return Experiment(**values)


def columns_of(experiment: Experiment) -> Mapping[str, Any]:
    """What its owner decides, by column."""
    return {
        "name": experiment.name,
        "description": experiment.description,
        "target_kind": experiment.target.kind,
        "target": experiment.target.name,
        "variants": [asdict(variant) for variant in experiment.variants],
        "weights": [asdict(weights) for weights in experiment.weights],
        "salt": experiment.salt,
        "primary_metric": experiment.primary_metric,
        "goal": experiment.goal,
        "guard_rails": [asdict(rail) for rail in experiment.guard_rails],
    }


def chosen_of(row: asyncpg.Record) -> Chosen:
    """A row of `CHOSEN`."""
    return Chosen(row["variant"], row["at"], row["until"], row["revision"])
