import string

from hypothesis import given, settings
from hypothesis import strategies as st

from jina.spec import DeploymentSpec, ExecutorSpec, dump_spec, load_spec, parse

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(string.ascii_letters + string.digits + "-_. äß", min_size=1, max_size=12).map(str.strip).filter(bool)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
MAPPINGS = st.dictionaries(TEXT, VALUES, max_size=3)
PORTS = st.integers(1, 65535)
PROTOCOLS = st.lists(st.sampled_from(["grpc", "http", "websocket"]), min_size=1, max_size=3, unique=True)

DEPLOYMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "uses": NAMES.map(lambda name: f"x{name}") | st.just({"jtype": "X", "with": {"a": 1}}),
        "uses_with": MAPPINGS,
        "uses_metas": MAPPINGS,
        "uses_requests": st.dictionaries(TEXT, TEXT, max_size=3),
        "uses_dynamic_batching": st.dictionaries(
            TEXT, st.fixed_dictionaries({"preferred_batch_size": st.integers(1, 100)}, optional={"timeout": PORTS})
        ),
        "env": st.dictionaries(TEXT.filter(lambda name: name and not {"=", "\0"} & {*name}), TEXT, max_size=3),
        "py_modules": st.lists(TEXT, max_size=3),
        "exit_on_exceptions": st.lists(TEXT, max_size=3),
        "port": PORTS,
        "protocol": PROTOCOLS,
        "quiet": st.booleans(),
        "timeout_ready": st.integers(0, 10**9) | st.just(-1) | st.floats(0, 1e6),
        "grace": st.floats(0, 1e6),
        "max_message_size": st.integers(1, 2**40),
        "workspace": TEXT,
        "title": TEXT,
    },
)


@settings(max_examples=60, deadline=None)
@given(DEPLOYMENTS)
def test_a_deployment_is_read_as_it_was_written(options):
    spec = parse(DeploymentSpec, options)
    assert load_spec(DeploymentSpec, dump_spec(spec), substitute=False) == spec


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"jtype": NAMES},
        optional={"with": MAPPINGS, "metas": MAPPINGS, "requests": st.dictionaries(TEXT, TEXT, max_size=3)},
    )
)
def test_an_executor_is_read_as_it_was_written(options):
    if options["jtype"] in {"Deployment", "Flow", "Gateway", "Client"}:
        return
    spec = parse(ExecutorSpec, options)
    assert load_spec(ExecutorSpec, dump_spec(spec), substitute=False) == spec
