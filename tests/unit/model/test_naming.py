"""The name that people know a container by."""

import pytest

from bridge.model.naming import name_from_labels


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"nerdctl/name": "web"}, "web"),
        ({"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "app-5d9f"}, "app"),
        ({"io.cri-containerd.kind": "sandbox", "io.kubernetes.pod.name": "app-5d9f"}, "app-5d9f"),
        ({"nerdctl/name": "", "io.kubernetes.pod.name": "app-5d9f"}, "app-5d9f"),
        ({"tier": "front"}, None),
        ({}, None),
    ],
)
def test_the_most_telling_label_names_a_container(labels: dict[str, str], name: str | None) -> None:
    assert name_from_labels(labels) == name
