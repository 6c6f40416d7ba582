"""Images as `uses`: their names, and the words with which an engine runs them."""

from __future__ import annotations

import pytest

from jina.config import DeploymentSpec, parse
from jina.errors import ConfigError
from jina.hub.containers import arguments_of, flags_of, gpu_words, image_of, volumes_of
from jina.hub.fetch import write_lock
from jina.orchestration.resolve import container_of

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("uses", "registry", "image"),
    [
        ("docker://upper", "", "upper"),
        ("docker://localhost:5000/team/upper:v1", "", "localhost:5000/team/upper:v1"),
        (f"docker://upper@{DIGEST}", "", f"upper@{DIGEST}"),
        ("DOCKER://upper:v1", "", "upper:v1"),
        ("jinahub+docker://Upper", "hub.example.org", "hub.example.org/upper:latest"),
        ("jinahub+docker://Upper/v2", "hub.example.org/team", "hub.example.org/team/upper:v2"),
        ("jinahub+docker://Upper:v2", "hub.example.org/team", "hub.example.org/team/upper:v2"),
        ("jinaai+docker://ada/Upper:v2", "hub.example.org/team", "hub.example.org/team/ada/upper:v2"),
        (f"jinaai+docker://ada/Upper@{DIGEST}", "hub.example.org", f"hub.example.org/ada/upper@{DIGEST}"),
    ],
)
def test_names_of_images(uses, registry, image, monkeypatch):
    monkeypatch.setenv("JINA_HUB_REGISTRY", registry)
    assert image_of(uses) == image


@pytest.mark.parametrize(
    ("uses", "registry", "words"),
    [
        ("docker://", "", "names no image"),
        ("docker://--privileged", "", "names no image"),
        ("docker://a b", "", "names no image"),
        ("jinahub+docker://Upper", "", "and /"),
        ("jinahub+docker://Upper", "/a/folder", "and /a/folder is a folder"),
        ("jinaai+docker://ada/Up per", "hub.example.org", "Up per"),
    ],
)
def test_what_names_no_image(uses, registry, words, monkeypatch):
    monkeypatch.setenv("JINA_HUB_REGISTRY", registry)
    with pytest.raises(ConfigError) as caught:
        image_of(uses)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, []),
        ({"mem_limit": "1g", "user": 1000}, ["--memory=1g", "--user=1000"]),
        ({"privileged": True, "init": False, "read_only": True}, ["--privileged", "--read-only"]),
        ({"cap_add": ["A", "B"], "dns": "1.1.1.1"}, ["--cap-add=A", "--cap-add=B", "--dns=1.1.1.1"]),
        ({"extra_hosts": {"a": "1.2.3.4"}}, ["--add-host=a:1.2.3.4"]),
        ({"extra_hosts": ["a:1.2.3.4"]}, ["--add-host=a:1.2.3.4"]),
        ({"labels": {"a": "b c", "d": ""}}, ["--label=a=b c", "--label=d"]),
        ({"environment": ["A=1", "B"]}, ["--env=A=1", "--env=B"]),
        ({"nano_cpus": 1_500_000_000}, ["--cpus=1.5"]),
        (
            {"volumes": {"/a": {"bind": "/b", "mode": "ro"}, "v": {"bind": "/c"}}},
            ["--volume=/a:/b:ro", "--volume=v:/c:rw"],
        ),
        ({"volumes": ["/a:/b"]}, ["--volume=/a:/b"]),
        (
            {"ports": {"80/tcp": 8000, "81/tcp": ("127.0.0.1", 8001), "82": None, "83": [1, 2]}},
            [
                "--publish=8000:80/tcp",
                "--publish=127.0.0.1:8001:81/tcp",
                "--publish=82",
                "--publish=1:83",
                "--publish=2:83",
            ],
        ),
        ({"ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}, ["--ulimit=nofile=1:2"]),
        ({"log_config": {"type": "syslog", "config": {"tag": "a"}}}, ["--log-driver=syslog", "--log-opt=tag=a"]),
        (
            {"mounts": [{"Type": "bind", "Source": "/a, b", "Target": "/c", "ReadOnly": True}]},
            ['--mount=type=bind,target=/c,"source=/a, b",readonly'],
        ),
        ({"device_requests": [{"Count": -1}]}, ["--gpus", "all"]),
        ({"device_requests": [{"DeviceIDs": ["0", "2"]}]}, ["--gpus", '"device=0,2"']),
        ({"auto_remove": True, "detach": True, "hostname": None}, []),
    ],
)
def test_arguments_of_the_sdk_as_flags(given, words):
    assert flags_of(given) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tty": True}, "tty is not available: its lines are passed on"),
        ({"auto_remove": False}, "a container is removed when it ends"),
        ({"restart_policy": {}}, "restart_limit"),
        ({"mem_limt": "1g"}, "did you mean 'mem_limit'"),
        ({"privileged": "yes"}, "privileged: 'yes' is not what the Docker SDK takes"),
        ({"mem_limit": ["1g"]}, "is not what the Docker SDK takes"),
        ({"ulimits": [{"Soft": 1}]}, "is not what the Docker SDK takes"),
    ],
)
def test_arguments_that_are_refused(given, words):
    with pytest.raises(ConfigError) as caught:
        flags_of(given)
    assert words in str(caught.value)


def test_gpus():
    assert gpu_words("") == []
    assert gpu_words("2") == ["--gpus", "2"]
    assert gpu_words("device=1") == ["--gpus", "device=1"]
    assert gpu_words("device=0,1") == ["--gpus", '"device=0,1"']
    assert gpu_words("all", "podman") == ["--device=nvidia.com/gpu=all"]
    assert gpu_words("2", "podman") == ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"]
    assert gpu_words("device=GPU-a", "podman") == ["--device=nvidia.com/gpu=GPU-a"]


def test_volumes_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert volumes_of(["/a:/b", "/a/b c:/d:ro", "/a/data", "x:/y"]) == [
        "/a:/b:rw", "/a/b c:/d:ro", "/a/data:/data:rw", f"{tmp_path}/x:/y:rw",
    ]  # fmt: skip
    assert volumes_of(["x:/y"], folder="/beside/the/yaml") == ["/beside/the/yaml/x:/y:rw"]
    for wrong in (":/b", "/a:b", "/a:/b:ro:rw"):
        with pytest.raises(ConfigError, match="is not LOCAL:CONTAINER"):
            volumes_of([wrong])


def test_the_command_line_of_jina_3():
    given = {
        "name": "a/rep-0",
        "native": True,
        "port": [1, 2],
        "uses_with": {"a": [1]},
        "shards": None,
        "reload": False,
    }
    assert arguments_of(given) == ["--name", "a/rep-0", "--native", "--port", "1", "2", "--uses-with", '{"a": [1]}']


@pytest.mark.parametrize(
    "image", ["registry.example:5000/team/upper:v1", "registry.example:5000/team/upper", "x.y/upper@sha256:" + "0" * 64]
)
def test_a_lock_says_which_version_of_an_image_it_is(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digest = "sha256:" + "1" * 64
    spec = parse(DeploymentSpec, {"uses": f"docker://{image}"})
    assert container_of(spec).image == image
    write_lock(tmp_path / "jina.lock", {f"docker://{image}": digest})
    assert container_of(spec).image == f"{image.partition('@')[0].removesuffix(':v1')}@{digest}"
    write_lock(tmp_path / "jina.lock", {})
    with pytest.raises(ConfigError, match="does not pin docker://"):
        container_of(spec)
