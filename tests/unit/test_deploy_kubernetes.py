"""deploy/kubernetes: valid by Kubernetes' own schemas, made of settings that exist, and with no more rights than are told."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bridge import __version__
from bridge.cli.plain import plain_serve
from bridge.config import ENVIRONMENT, load

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.37")
"""The oldest that the files are for, and the newest that the validator knows."""


def documents(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` of a folder would send, by the parts of kustomize that the files use."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[dict[str, Any]] = []
    for resource in kustomization["resources"]:
        path = (folder / resource).resolve()
        found += documents(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for patch in kustomization.get("patches", []):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        (place,) = [at for at, each in enumerate(found) if identity(each) == identity(change)]
        found[place] = merged(found[place], change)
    return found


def identity(document: dict[str, Any]) -> tuple[str, str, str]:
    return document["apiVersion"], document["kind"], document["metadata"]["name"]


def merged(base: Any, change: Any) -> Any:
    """A strategic merge: tables by their keys, lists of named things by their names."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: merged(base.get(key), value) for key, value in change.items()}
    if isinstance(base, list) and all(isinstance(each, dict) and "name" in each for each in [*base, *change]):
        names = {each["name"]: each for each in copy.deepcopy(base)}
        for each in change:
            names[each["name"]] = merged(names.get(each["name"]), each)
        return list(names.values())
    return change


READING, COMMANDING = documents(DEPLOYED), documents(DEPLOYED / "commands")


def daemon_set(found: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = [each for each in found if each["kind"] == "DaemonSet"]
    return only


def container(found: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = daemon_set(found)["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("found", [READING, COMMANDING], ids=["reading", "commanding"])
def test_every_document_is_valid_by_kubernetes_own_schemas(found: list[dict[str, Any]], version: str) -> None:
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_would_say_so() -> None:
    broken = copy.deepcopy(daemon_set(READING))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["periodSecond"] = 5
    with pytest.raises(kubernetes_validate.ValidationError, match="periodSecond"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("found", [READING, COMMANDING], ids=["reading", "commanding"])
def test_options_and_settings_exist(found: list[dict[str, Any]]) -> None:
    given = container(found)
    plain = plain_serve(given["args"])
    assert plain is not None
    (settings,) = [each["data"] for each in found if each["kind"] == "ConfigMap"]
    environ = settings | {each["name"]: each.get("value", "node-1") for each in given["env"]}
    assert all(name.startswith(ENVIRONMENT) for name in environ)
    config = load(plain.options, environ=environ)
    assert (config.node, config.namespace) == ("node-1", ["k8s.io"])
    host, port = config.http_address or ("", 0)
    assert (host, port) == ("0.0.0.0", given["ports"][0]["containerPort"])
    assert bool(config.groups) == (found is COMMANDING)
    # What the comment tells people to set.
    told = re.findall(rf"{ENVIRONMENT}\w+", (DEPLOYED / "configmap.yaml").read_text())
    load({}, environ={name: "text" for name in told if name not in environ and not name.endswith("CREDS")})


def test_paths_are_mounted_where_the_settings_say() -> None:
    for found in (READING, COMMANDING):
        given, spec = container(found), daemon_set(found)["spec"]["template"]["spec"]
        config = load(plain_serve(given["args"]).options, environ={})  # type: ignore[union-attr]
        mounts = {each["mountPath"]: each for each in given["volumeMounts"]}
        volumes = {each["name"]: each for each in spec["volumes"]}
        assert set(volumes) == {each["name"] for each in given["volumeMounts"]}
        needed = [config.containerd.parent, config.state_dir]
        needed += [config.fifo_dir.parent] if found is COMMANDING else []
        for path in needed:
            # FIFOs, dumps and the socket have one path, here and on the node.
            assert volumes[mounts[str(path)]["name"]]["hostPath"]["path"] == str(path)
        assert config.checkpoint_dir.is_relative_to(config.state_dir)


def test_the_reader_has_no_rights_but_its_socket() -> None:
    spec = daemon_set(READING)["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    context = container(READING)["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert "privileged" not in context
    (account,) = [each for each in READING if each["kind"] == "ServiceAccount"]
    assert account["automountServiceAccountToken"] is False
    assert not [each for each in COMMANDING if "Role" in each["kind"]]  # nothing to grant: the API is never asked


def test_commands_get_the_capabilities_of_the_systemd_unit() -> None:
    unit = (ROOT / "deploy" / "systemd" / "containerd-bridge.service").read_text()
    [names] = re.findall(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    added = container(COMMANDING)["securityContext"]["capabilities"]["add"]
    assert {f"CAP_{name}" for name in added} == set(names.split())
    assert daemon_set(COMMANDING)["spec"]["template"]["spec"]["hostPID"] is True


def test_a_node_never_has_two_and_probes_ask_what_they_should() -> None:
    update = daemon_set(READING)["spec"]["updateStrategy"]["rollingUpdate"]
    assert update == {"maxSurge": 0, "maxUnavailable": 1}
    given = container(READING)
    paths = {name: given[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    (image,) = yaml.safe_load((DEPLOYED / "kustomization.yaml").read_text())["images"]
    assert (image["name"], image["newTag"]) == (given["image"], __version__)
