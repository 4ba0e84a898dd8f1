"""Experiments on models."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from voicehelper.errors import Unavailable
from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.experiments_desk import ExperimentsDesk, first_weights
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.models.experiments.model import GOALS, Experiment, GuardRail, Target, Variant
from voicehelper.wire.common import Line, Page
from voicehelper.wire.experiments import (
    AssignmentView,
    ExperimentCreate,
    ExperimentStart,
    ExperimentStop,
    ExperimentUpdate,
    ExperimentView,
    GuardRailBody,
    OutcomeCreate,
    OutcomeView,
    ResultsView,
    StatusName,
    VariantBody,
    VariantView,
    WeightsUpdate,
)

router = APIRouter(prefix="/experiments", tags=["experiments"])

_READ = [requires("experiments:read")]
_WRITE = [requires("experiments:write")]
_NOBODY = UUID(int=0)


async def _desk(services: Wired) -> ExperimentsDesk:
    if services.experiments is None:
        raise Unavailable("There are no experiments here")
    return services.experiments


Desk = Annotated[ExperimentsDesk, Depends(_desk)]


@router.get("", summary="List experiments, newest first", dependencies=_READ)
async def list_experiments(
    caller: Caller,
    desk: Desk,
    status: Annotated[StatusName | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ExperimentView]:
    """Of the tenant."""
    found = await desk.store.find(caller.tenant_id, status, decode_id(cursor), limit + 1)
    return page_of(found, limit, lambda experiment: experiment.id, _view)


@router.post("", status_code=201, summary="Create an experiment", dependencies=_WRITE)
async def create_experiment(body: ExperimentCreate, caller: Caller, desk: Desk) -> ExperimentView:
    """A draft: nobody takes part before it is started. 409 when the name is taken."""
    wanted = Experiment(
        id=_NOBODY,
        tenant_id=_NOBODY,
        name=body.name,
        description=body.description,
        target=Target(body.target.kind, body.target.name),
        variants=_variants(body.variants),
        weights=first_weights([variant.weight for variant in body.variants], body.traffic),
        salt="",
        primary_metric=body.primary_metric,
        goal=GOALS.get(body.primary_metric, body.goal or "more"),
        guard_rails=_rails(body.guard_rails),
    )
    return _view(await desk.create(caller, wanted))


@router.get("/{experiment_id}", summary="One experiment", dependencies=_READ)
async def get_experiment(experiment_id: UUID, caller: Caller, desk: Desk) -> ExperimentView:
    """With its present weights."""
    return _view(await desk.store.get(caller.tenant_id, experiment_id))


@router.patch("/{experiment_id}", summary="Change a draft", dependencies=_WRITE)
async def change_experiment(experiment_id: UUID, body: ExperimentUpdate, caller: Caller, desk: Desk) -> ExperimentView:
    """409 when it was changed meanwhile (40903), when it is no draft any more, and when the name is taken (40901)."""
    return _view(await desk.redraft(caller, experiment_id, body.version, _changes(body)))


@router.delete("/{experiment_id}", status_code=204, summary="Delete an experiment", dependencies=_WRITE)
async def delete_experiment(experiment_id: UUID, caller: Caller, desk: Desk) -> None:
    """With its results. 409 while it is running."""
    await desk.delete(caller, experiment_id)


@router.post("/{experiment_id}/start", summary="Start an experiment", dependencies=_WRITE)
async def start_experiment(experiment_id: UUID, body: ExperimentStart, caller: Caller, desk: Desk) -> ExperimentView:
    """Every replica knows within five seconds. 409 when another one is running on the same calls, and for one that is
    no draft; 400 when a variant names a model that the tenant has not."""
    return _view(await desk.start(caller, experiment_id, body.version))


@router.post("/{experiment_id}/stop", summary="Stop an experiment", dependencies=_WRITE)
async def stop_experiment(experiment_id: UUID, body: ExperimentStop, caller: Caller, desk: Desk) -> ExperimentView:
    """For good; its results stay. 409 when it is not running."""
    return _view(await desk.stop(caller, experiment_id, body.version, body.reason))


@router.put("/{experiment_id}/weights", summary="Change the weights of a running experiment", dependencies=_WRITE)
async def change_weights(experiment_id: UUID, body: WeightsUpdate, caller: Caller, desk: Desk) -> ExperimentView:
    """They hold from `weights_since` on, five seconds later. Whoever was given a variant before keeps it for a day
    after that. 409 when it was changed meanwhile (40903) or is not running (40901)."""
    return _view(await desk.weigh(caller, experiment_id, body.version, body.weights, body.traffic))


@router.get("/{experiment_id}/results", summary="What an experiment has shown so far", dependencies=_READ)
async def get_results(experiment_id: UUID, caller: Caller, desk: Desk) -> ResultsView:
    """With 95 % intervals, which are honest although a user makes many calls (see docs/experiments.md)."""
    experiment, results = await desk.results(caller, experiment_id)
    return ResultsView(
        experiment_id=experiment.id,
        status=experiment.status,
        primary_metric=experiment.primary_metric,
        goal=experiment.goal,
        variants=[*results.variants],
        mismatch=results.mismatch,
        leader=results.leader or None,
        certain=results.certain,
        warnings=[*results.warnings],
    )


@router.get("/{experiment_id}/assignment", summary="The variant of one user", dependencies=_READ)
async def get_assignment(
    experiment_id: UUID,
    caller: Caller,
    desk: Desk,
    user_id: Annotated[Line, Query(description="The user's, or for calls without a user the API key's")],
) -> AssignmentView:
    """Nothing is changed by asking. An id must be of the tenant (404); any other name is drawn as it is, so that a
    division can be tried out."""
    drawn = await desk.assignment(caller, experiment_id, user_id)
    return AssignmentView(
        user_id=user_id,
        variant=drawn.variant or None,
        given=drawn.given is not None,
        given_at=_moment(drawn.given.at) if drawn.given else None,
        until=_moment(drawn.given.until) if drawn.given else None,
    )


@router.post("/{experiment_id}/outcomes", status_code=202, summary="Report an outcome", dependencies=_WRITE)
async def report_outcome(experiment_id: UUID, body: OutcomeCreate, caller: Caller, desk: Desk) -> OutcomeView:
    """A sale, a solved case, a judgement: counts for the variant that the user has. 409 when he has taken no part yet,
    which is known a second or two after his first call."""
    return OutcomeView(variant=await desk.outcome(caller, experiment_id, body.user_id, body.metric, body.value))


def _changes(body: ExperimentUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = body.model_dump(
        exclude_none=True, include={"name", "description", "primary_metric", "goal"}
    )
    if body.primary_metric in GOALS:
        changes["goal"] = GOALS[body.primary_metric]
    if body.target is not None:
        changes["target"] = Target(body.target.kind, body.target.name)
    if body.guard_rails is not None:
        changes["guard_rails"] = _rails(body.guard_rails)
    if body.variants is not None:
        changes["variants"] = _variants(body.variants)
        changes["shares"] = tuple(variant.weight for variant in body.variants)
    if body.traffic is not None:
        changes["traffic"] = body.traffic
    return changes


def _variants(bodies: list[VariantBody]) -> tuple[Variant, ...]:
    return tuple(Variant(one.name, tuple(one.models), one.overrides.model_dump(exclude_none=True)) for one in bodies)


def _rails(bodies: list[GuardRailBody]) -> tuple[GuardRail, ...]:
    return tuple(GuardRail(**one.model_dump()) for one in bodies)


def _view(experiment: Experiment) -> ExperimentView:
    weights = experiment.weights[-1]
    values = {name: getattr(experiment, name) for name in ExperimentView.model_fields if hasattr(experiment, name)}
    values["variants"] = [
        VariantView(
            name=variant.name,
            weight=share,
            models=[*variant.models],
            overrides=variant.overrides,
            stopped_at=_moment(variant.stopped_at) if variant.stopped_at else None,
            reason=variant.reason,
        )
        for variant, share in zip(experiment.variants, weights.shares, strict=True)
    ]
    since = _moment(weights.since) if weights.since else None
    return ExperimentView.model_validate(
        values | {"traffic": weights.traffic, "weights_revision": weights.revision, "weights_since": since}
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
