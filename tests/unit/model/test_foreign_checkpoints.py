"""Checkpoints that others make, by the images that they make of them."""

import pytest

from bridge.model import labels
from bridge.model.events import TaskCheckpointed, TaskOOM
from bridge.model.foreign_checkpoints import foreign_checkpoint, may_be_checkpoint
from bridge.model.node_events import ImageCreate, ImageUpdate

NAME = "containerd.io/checkpoint/web.1:11-27-2026-05:09:33"


def test_an_image_that_containerd_s_client_names_after_a_container_is_its_checkpoint() -> None:
    for given in ({}, {"containerd.io/checkpoint": "true"}):
        event = ImageCreate(name=NAME, labels=given)
        assert foreign_checkpoint(event) == TaskCheckpointed(container_id="web.1", checkpoint=NAME)


@pytest.mark.parametrize(
    "name",
    [
        "docker.io/library/nginx:1",
        "containerd.io/checkpoint/:11-27-2026-05:09:33",
        "containerd.io/checkpoint/-bad-:11-27-2026-05:09:33",
        "containerd.io/checkpoint/a/b:11-27-2026-05:09:33",
        "containerd.io/checkpoint/web.1:latest",
        f"x{NAME}",
        f"{NAME}\n",
    ],
)
def test_any_other_name_says_nothing(name: str) -> None:
    assert foreign_checkpoint(ImageCreate(name=name)) is None


def test_what_a_command_of_ours_has_made_it_tells_itself() -> None:
    event = ImageCreate(name=NAME, labels={labels.COMMAND: "c1"})
    assert foreign_checkpoint(event) is None
    assert not may_be_checkpoint(event)


def test_only_the_creation_of_an_image_counts() -> None:
    assert foreign_checkpoint(ImageUpdate(name=NAME)) is None
    assert not may_be_checkpoint(TaskOOM(container_id="web.1"))
