import pytest

from jina import Deployment
from jina.config.rules import agent_options, complaints
from jina.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"snapshot_treshold": 5}, "did you mean 'snapshot_threshold'"),
        ({"heartbeat_timeout": "fast"}, "'fast' is not a whole number"),
        ({"heartbeat_timeout": -4}, "heartbeat_timeout: -4 is less than 0"),
        ({"heartbeat_timeout": 1}, "1 ms are less than 5"),
        (
            {"heartbeat_timeout": 500, "election_timeout": 100},
            "election_timeout (100) is below heartbeat",
        ),
        ({"heartbeat_timeout": 100, "leader_lease_timeout": 200}, "leader_lease_timeout (200) is above"),
        ({"log_level": "LOUD"}, "'LOUD' is not one of"),
    ],
)
def test_what_does_not_fit_is_said(given, words):
    assert any(words in text for text in complaints(given)), list(complaints(given))


def test_one_timeout_counts_for_both():
    """In Jina 3 a heartbeat_timeout alone kept the Deployment from starting."""
    assert list(complaints({"heartbeat_timeout": 1500})) == []
    assert agent_options({"heartbeat_timeout": 1500})["election_timeout"] == 1500
    assert agent_options({"election_timeout": 100})["leader_lease_timeout"] == 100


def test_names_may_have_the_form_that_jina_3_hands_on():
    given = {"LogLevel": "INFO", "HeartbeatTimeout": 1500, "BatchApplyCh": True}
    assert list(complaints(given)) == []
    assert agent_options(given)["log_level"] == "INFO"
    assert agent_options(given)["election_timeout"] == 1500
    assert any("there is no 'LogLevl'; did you mean 'log_level'" in text for text in complaints({"LogLevl": "INFO"}))


def test_options_of_jina_3_without_an_effect_are_taken():
    ignored = {"batch_apply_ch": True, "shutdown_on_remove": True, "no_snapshot_restore_on_start": False}
    assert list(complaints(ignored)) == []
    defaults = {"heartbeat_timeout": 1000, "election_timeout": 1000, "commit_timeout": 50, "max_append_entries": 64,
                "trailing_logs": 10240, "snapshot_interval": 120, "snapshot_threshold": 8192,
                "leader_lease_timeout": 500, "log_level": "INFO"}  # fmt: skip
    assert list(complaints(defaults)) == []
    assert defaults.items() <= agent_options(defaults).items()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"peer_ports": [1, 2, 3]}, ConfigError, "is for stateful=True"),
        ({"consistency": "session"}, ConfigError, "is for stateful=True"),
        ({"stateful": True, "replicas": 3, "peer_ports": [1, 2]}, ConfigError, r"2 ports for 3 replica\(s\)"),
        ({"stateful": True, "replicas": 2, "peer_ports": [1, 1]}, ConfigError, "a port is given twice"),
        ({"stateful": True, "raft_configuration": {"no": 1}}, ConfigError, "there is no 'no'"),
        ({"stateful": True, "shards": 2, "peer_ports": [1]}, ConfigError, "each shard has ports of its own"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(options, error, words):
    with pytest.raises(error, match=words):
        Deployment(**options)
