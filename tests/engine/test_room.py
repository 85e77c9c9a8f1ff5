from __future__ import annotations

from dataclasses import replace

import pytest

from audiocur.engine import room
from audiocur.errors import ConfigError
from audiocur.placement import Placement, Via


@pytest.fixture
def cluster(monkeypatch):
    def has(*nodes):
        monkeypatch.setattr(room, "nodes", lambda: list(nodes))

    return has


@pytest.fixture
def stages(ops):
    def with_placements(**placements):
        pipeline = ops.Tone() >> ops.Halves() >> ops.Raw() >> ops.Counting()
        pipeline = replace(pipeline, placements={"counting": Placement(**placements)})
        (first, second) = pipeline.plan()
        return first, second, replace(second, placement=replace(second.placement, cpus=second.placement.cpus / 2))

    return with_placements


@pytest.mark.parametrize("via", [Via.actor, Via.serve])
def test_models_that_want_more_gpus_than_there_are_are_refused(cluster, stages, via):
    cluster({"CPU": 8, "GPU": 1})
    room.check_room(stages(via=via, gpus=0.5))
    with pytest.raises(ConfigError, match=r"need 2 GPUs, the cluster has 1; expected parts of one, gpus=0\.5"):
        room.check_room(stages(via=via, gpus=1))


def test_pools_shrink_to_the_gpus_that_there_are(cluster, stages):
    cluster({"CPU": 64, "GPU": 2}, {"CPU": 64, "GPU": 2})
    wanted = stages(via=Via.actor, gpus=1, actors=[4, 8])
    assert [stage.placement.actors for stage in room.fitted(wanted)][1:] == [[1, 2], [1, 2]]
    room.check_room(wanted)


def test_an_application_that_runs_has_its_place_already(cluster, stages):
    cluster({"CPU": 1})
    room.check_room(stages(via=Via.serve, app="mine", gpus=4, cpus=32))
