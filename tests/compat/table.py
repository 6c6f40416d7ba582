"""The check table: what a user of Jina 3 observes of each feature, and the tests that show it.

Each row states one observation and names tests that make it. A row that does not hold whole says what is missing; the
same words stand in `docs/explanation/differences.md`, where users read them.
"""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """One row. `missing` is empty where all of it holds; `lacks` says of what the missing part is."""

    text: str
    tests: str
    missing: str = ""
    lacks: str = ""


UNHELD = {"containers", "providers"}
"""Subjects of which a check may fail as a whole."""

PARTLY = {"decision"}
"""Why a check may hold in part only: it was decided so."""

RELOAD = "changed the class of the live object, which kept its state"
PATHS = "the documents came back unchanged"

CHECKS = {
    1: Check("the public names can be imported from `jina`", "compat/test_checks.py::test_names_of_the_package"),
    2: Check("`jina -v` prints the version, `-vf` those of everything", "cli/test_commands.py::test_the_version"),
    3: Check(
        "a constructor without **kwargs is refused where the class is made",
        "executor/test_contract.py::test_init_without_kwargs_is_an_error_when_the_class_is_made",
    ),
    4: Check(
        "a method whose signature cannot be served is refused by its decorator",
        "executor/test_contract.py::test_signature_is_checked_at_decoration",
    ),
    5: Check(
        "a bare `@requests` is the path /default", "compat/test_checks.py::test_paths_of_methods_and_direct_calls"
    ),
    6: Check("`on` takes a list of paths", "compat/test_checks.py::test_paths_of_methods_and_direct_calls"),
    7: Check(
        "a subclass keeps the endpoints of its parent and may override them",
        "executor/test_contract.py::test_endpoints_are_inherited_and_overridden",
    ),
    8: Check("`uses_metas` arrives in `self.metas`", "founding/test_special_arguments.py::test_metas"),
    9: Check(
        "without a name `metas.name` is that of the class",
        "executor/test_contract.py::test_the_name_falls_back_to_the_class",
    ),
    10: Check(
        "`runtime_args` has the keys and names of Jina 3",
        "compat/test_runtime_args.py::test_the_name_is_that_of_the_deployment_unless_metas_have_one"
        " compat/test_runtime_args.py::test_steps_of_one_class_are_told_apart"
        " compat/test_runtime_args.py::test_keys_of_jina_3_and_metrics_of_the_executors_own",
    ),
    11: Check("`requests` maps paths to methods", "executor/test_contract.py::test_requests_maps_endpoints_to_methods"),
    12: Check("a workspace is followed by name and shard", "executor/test_contract.py::test_workspace_rule"),
    13: Check(
        "the default workspace is below the user's cache folder",
        "founding/test_special_arguments.py::test_the_default_workspace executor/test_contract.py::test_workspace_rule",
    ),
    14: Check(
        "`close` runs at the end of the block and on SIGTERM",
        "founding/test_close.py::test_at_the_end_of_the_block_also_after_a_handler_failed"
        " cli/test_services.py::test_executor_serves_and_sigterm_closes_it",
    ),
    15: Check("an Executor is a context manager that closes", "executor/test_contract.py::test_context_manager_closes"),
    16: Check(
        "methods can be called without a server", "compat/test_checks.py::test_paths_of_methods_and_direct_calls"
    ),
    17: Check("`async def` methods run at once", "compat/test_checks.py::test_async_methods_run_at_once"),
    18: Check(
        "`def` methods take turns unless `allow_concurrent` or `concurrency` says otherwise",
        "worker/test_concurrency.py::test_methods_in_the_common_lane_take_turns_with_each_other"
        " worker/test_concurrency.py::test_a_deployment_lets_calls_meet"
        " compat/test_checks.py::test_plain_methods_run_at_once_where_it_is_allowed",
    ),
    19: Check(
        "a method with `doc` gets one document at a time", "compat/test_checks.py::test_what_a_method_may_return"
    ),
    20: Check("None, a list and a dict may be returned", "compat/test_checks.py::test_what_a_method_may_return"),
    21: Check(
        "another type that is returned is an error of the server",
        "compat/test_checks.py::test_what_a_method_may_return",
    ),
    22: Check(
        "an exception of a method reaches the client with its place, and the server lives on",
        "client/test_errors.py::test_executor_error"
        " worker/test_service.py::test_handlers_errors_name_the_exception_and_the_users_frames",
    ),
    23: Check(
        "`exit_on_exceptions` ends the worker",
        "worker/test_worker.py::test_an_exception_named_in_exit_on_exceptions_ends_the_worker_after_its_answer",
    ),
    24: Check(
        "`name__key` reaches only the Executor of that name",
        "acceptance/test_flow_gateway.py::test_parameters_of_one_step",
    ),
    25: Check(
        "a model of parameters is made and checked; a missing field is 422",
        "compat/test_checks.py::test_a_model_of_parameters",
    ),
    26: Check("parameters keep their types", "acceptance/test_flow_gateway.py::test_parameters_keep_their_types"),
    27: Check(
        "a join without reduction gets its branches by name and in order",
        "gateway/test_joins.py::test_branches_are_handed_on_apart_in_the_order_of_needs",
    ),
    28: Check(
        "a method may take the tracing context",
        "observe/test_traces.py::test_a_handler_gets_the_tracing_context_and_spans_of_users_nest",
    ),
    29: Check(
        "a path without a method goes to /default, or through an Executor without endpoints",
        "compat/test_checks.py::test_what_has_no_method_of_its_own_goes_to_the_default"
        " worker/test_service.py::test_an_executor_without_endpoints_gives_the_documents_back"
        " gateway/test_service.py::test_an_endpoint_that_nobody_knows_is_not_found",
        missing=PATHS,
        lacks="decision",
    ),
    30: Check(
        "discovery gives JSON Schemas of the annotations",
        "interop/test_grpc_services.py::test_discovery_gives_the_same_endpoints_and_schemas",
    ),
    31: Check(
        "`request_schema` and `response_schema` count instead of annotations",
        "executor/test_endpoints.py::test_schema_arguments_win_over_annotations"
        " compat/test_checks.py::test_schemas_that_are_given_are_those_of_the_description",
    ),
    32: Check(
        "methods without annotations get schemaless documents",
        "founding/test_create.py::test_the_boilerplate cli/test_services.py::test_a_generated_package_starts_as_it_is",
    ),
    33: Check(
        "a generator streams over gRPC",
        "client/test_streams.py::test_documents_and_parameters client/test_streams.py::test_async",
    ),
    34: Check("a generator streams as server-sent events", "server/test_http_streams.py::test_events"),
    35: Check(
        "a plain generator streams, also behind a gateway",
        "worker/test_streams.py::test_a_sync_generator_holds_the_one_thread_until_it_ends"
        " acceptance/test_flow_streams.py::test_a_stream",
    ),
    36: Check(
        "an error in the middle of a stream is raised once", "client/test_streams.py::test_failure_in_the_middle"
    ),
    37: Check("parameters of a stream arrive", "client/test_streams.py::test_documents_and_parameters"),
    38: Check(
        "`@write` works in either order of the decorators",
        "executor/test_contract.py::test_write_in_either_order",
    ),
    39: Check(
        "what was put once is on each of three replicas",
        "founding/test_stateful.py::test_what_was_written_is_found_whichever_replica_is_hit",
    ),
    40: Check(
        "`snapshot` of Jina 3 is called with the path of a file",
        "stateful/test_kinds.py::test_snapshots_of_jina_3_are_files",
    ),
    41: Check(
        "state is there after a restart",
        "stateful/test_kinds.py::test_all_is_there_after_a_restart_and_nothing_is_served_before"
        " stateful/test_kinds.py::test_snapshots_of_jina_3_are_files",
    ),
    42: Check(
        "a lost follower and a lost leader are survived",
        "stateful/test_faults.py::test_the_leaders_worker_is_killed"
        " stateful/test_faults.py::test_a_follower_that_was_stopped_catches_up",
    ),
    43: Check(
        "the keys of `raft_configuration` are taken",
        "config/test_rules.py::test_raft_configuration_fits"
        " config/test_consensus.py::test_options_of_jina_3_without_an_effect_are_taken",
    ),
    44: Check("the number of `peer_ports` is checked", "config/test_rules.py::test_peer_ports_match_replicas"),
    45: Check(
        "a stateful Deployment serves gRPC; HTTP, which Jina 3 refused, works too",
        "stateful/test_kinds.py::test_parameters_keep_their_types"
        " stateful/test_kinds.py::test_documents_without_ids_get_the_same_ones_everywhere",
    ),
    46: Check(
        "a stateful Deployment without a workspace, or with one that cannot be used, is refused with the reason",
        "stateful/test_deployment.py::test_a_workspace_is_needed"
        " stateful/test_deployment.py::test_a_workspace_that_is_a_file_is_said_before_anything_starts",
    ),
    47: Check(
        "a Deployment is a context manager with `post`",
        "orchestration/test_deployment.py::test_post_gives_what_the_endpoint_declares",
    ),
    48: Check(
        "`uses` takes a class, a name, a path, YAML text and a mapping",
        "executor/test_load.py::test_class_by_import_path executor/test_load.py::test_dotted_path"
        " executor/test_load.py::test_yaml_path executor/test_load.py::test_yaml_text_mapping_and_json",
    ),
    49: Check(
        "`uses_with`, `uses_metas` and `uses_requests` count",
        "executor/test_load.py::test_overrides_win_over_yaml",
    ),
    50: Check(
        "`include_gateway=False` serves the worker itself",
        "compat/test_checks.py::test_external_deployments_behind_a_flow_and_alone",
    ),
    51: Check("replicas share the requests", "compat/test_runtime_args.py::test_steps_of_one_class_are_told_apart"),
    52: Check(
        "`polling` sends a request to any shard or to all",
        "orchestration/test_shards.py::test_an_index_over_three_shards_answers_as_over_one"
        " orchestration/test_shards.py::test_any_takes_the_shards_in_turn"
        " orchestration/test_shards.py::test_from_yaml",
    ),
    53: Check(
        "`uses_before` and `uses_after` run around the shards",
        "orchestration/test_shards.py::test_what_stands_before_changes_what_shards_get"
        " orchestration/test_shards.py::test_what_stands_after_merges_the_answers",
    ),
    54: Check(
        "a Deployment answers JSON over HTTP",
        "compat/test_checks.py::test_json_over_http server/test_http_calls.py::test_documents_go_in_and_come_back",
    ),
    55: Check(
        "a Deployment serves several protocols at once",
        "orchestration/test_deployment.py::test_every_face_answers"
        " orchestration/test_deployment.py::test_post_gives_what_the_endpoint_declares",
    ),
    56: Check(
        "WebSocket, and HTTP with shards, which Jina 3 refused, work",
        "orchestration/test_shards.py::test_every_protocol_gets_merged_documents"
        " compat/test_empty_inputs.py::test_every_protocol_and_client",
    ),
    57: Check(
        "a Flow sends to external Deployments, also to those with a gateway",
        "compat/test_checks.py::test_external_deployments_behind_a_flow_and_alone",
    ),
    58: Check(
        "several hosts of an external Deployment are replicas",
        "compat/test_checks.py::test_external_deployments_behind_a_flow_and_alone",
    ),
    59: Check(
        "`CUDA_VISIBLE_DEVICES=RR` gives each replica a GPU",
        "plan/test_gpus.py::test_turns_as_in_jina_3 supervisor/test_gpus.py::test_replicas_take_turns",
    ),
    60: Check(
        "`install_requirements` installs the requirements of a package, into an environment of its own",
        "compat/test_requirements.py::test_they_are_installed_before_the_module_is_imported"
        " acceptance/test_mixed_sources.py::test_each_has_the_numpy_that_it_wants",
    ),
    61: Check(
        "an edited Executor answers with its new code",
        "orchestration/test_supervision.py::test_reload",
        missing=RELOAD,
        lacks="decision",
    ),
    62: Check(
        "a Flow with `reload=True` that blocks follows its edited YAML file",
        "orchestration/test_reloading_yaml.py::test_a_flow_that_blocks_follows_its_file_through_mistakes"
        " orchestration/test_reloading_yaml.py::test_commands_follow_the_yaml_that_they_serve",
    ),
    63: Check(
        "an Executor serves as SageMaker wants it",
        "config/test_rules.py::test_is_available",
        missing="providers. An option that asks for one of them",
        lacks="providers",
    ),
    64: Check(
        "servers and clients speak TLS", "client/test_connections.py::test_tls acceptance/test_ends.py::test_tls"
    ),
    65: Check(
        "`timeout_send` ends a call to a slow Executor",
        "gateway/test_replicas.py::test_timeout_send_names_executor_address_and_option",
    ),
    66: Check(
        "requests go on when one of two replicas is killed", "acceptance/test_flow_faults.py::test_a_killed_replica"
    ),
    67: Check(
        "steps run in the order in which they were added, and are found by name and place",
        "orchestration/test_flow.py::test_documents_pass_all_steps"
        " orchestration/test_flow.py::test_steps_can_be_looked_at",
    ),
    68: Check(
        "branches are joined by the ids of their documents",
        "gateway/test_joins.py::test_a_join_merges_what_each_branch_has_set",
    ),
    69: Check(
        "a join without an Executor of its own takes typed documents",
        "gateway/test_joins.py::test_a_join_without_an_executor_merges_on_the_way",
    ),
    70: Check("`needs` of one step is an error", "config/test_flow.py::test_mistakes_name_the_method"),
    71: Check(
        "names that are taken get a number, names that are none are refused",
        "config/test_flow.py::test_names_that_are_taken_get_a_number"
        " config/test_yaml_flow.py::test_mistakes_name_file_line_and_option",
    ),
    72: Check(
        "a name in `needs` that no step has is an error",
        "plan/test_topology.py::test_unknown_names_with_the_nearest",
    ),
    73: Check(
        "floating steps are not waited for",
        "gateway/test_joins.py::test_floating_steps_do_not_delay_the_answer_and_are_drained"
        " gateway/test_joins.py::test_floating_steps_finish_within_the_grace",
    ),
    74: Check(
        "conditions send documents on their ways, and lose none",
        "routing/test_conditions.py::test_operators routing/test_conditions.py::test_nothing_is_lost"
        " gateway/test_joins.py::test_documents_that_a_condition_leaves_out_go_on_in_their_place",
    ),
    75: Check(
        "`no_reduce` keeps the branches apart",
        "gateway/test_joins.py::test_branches_are_handed_on_apart_in_the_order_of_needs",
    ),
    76: Check(
        "an external step with several needs has to merge",
        "plan/test_topology.py::test_external_joins_have_to_merge",
    ),
    77: Check(
        "`target_executor` chooses by a regular expression",
        "orchestration/test_flow.py::test_only_the_target_is_visited"
        " gateway/test_joins.py::test_target_executor_chooses_by_regular_expression",
    ),
    78: Check(
        "inspections are collected, hang, or are removed",
        "plan/test_topology.py::test_inspect orchestration/test_flow.py::test_the_steps_that_are_left_with_inspections",
    ),
    79: Check(
        "neighbours whose documents do not fit are refused at the start, both named",
        "gateway/test_endpoints.py::test_neighbours_that_do_not_fit_are_named"
        " gateway/test_life.py::test_neighbours_that_do_not_fit_fail_the_start",
    ),
    80: Check(
        "Flows can be compared and count their parts",
        "compat/test_checks.py::test_flows_are_equal_when_their_deployments_are",
    ),
    81: Check(
        "an asynchronous Flow is iterated with `async for`",
        "orchestration/test_flow.py::test_async_with_and_streams orchestration/test_flow.py::test_calls_in_a_loop",
    ),
    82: Check(
        "a Flow draws itself, without a network",
        "orchestration/test_flow_picture.py::test_plot_writes_the_format_of_the_suffix",
    ),
    83: Check("a Flow is saved and loaded again", "orchestration/test_flow.py::test_yaml_and_back"),
    84: Check(
        "variables of a Flow are set while it runs",
        "orchestration/test_flow.py::test_the_environment_is_that_of_the_flow_while_it_runs"
        " orchestration/test_flow.py::test_the_environment_is_restored",
    ),
    85: Check(
        "a Flow without one of its Executors is not ready",
        "acceptance/test_flow_faults.py::test_a_killed_step orchestration/test_flow.py::test_readiness_and_profile",
    ),
    86: Check(
        "`/`, `/dry_run` and `/status` answer JSON",
        "server/test_http_pages.py::test_status_metrics_and_dry_run"
        " acceptance/test_flow_gateway.py::test_status_and_dry_run"
        " server/test_http_pages.py::test_probes",
    ),
    87: Check(
        "OpenAPI has the title, the description and the version that are given",
        "server/test_http_pages.py::test_openapi_has_title_and_description"
        " server/test_http_pages.py::test_openapi_is_titled_after_the_service_by_default"
        " server/test_http_pages.py::test_openapi_takes_version_and_docstrings",
    ),
    88: Check(
        "bodies hold one document or a list, a header and parameters",
        "server/test_http_calls.py::test_bodies_without_the_full_envelope"
        " server/test_http_calls.py::test_header_of_the_body_names_request_and_target",
    ),
    89: Check("an error of an Executor is 500 with a detail", "server/test_http_calls.py::test_errors"),
    90: Check(
        "an Executor that is down is 503",
        "acceptance/test_statuses.py::test_worker_down acceptance/test_flow_faults.py::test_a_killed_step",
    ),
    91: Check("wrong documents are 422", "acceptance/test_flow_gateway.py::test_wrong_documents_raw"),
    92: Check("`cors` sends its headers", "server/test_http_calls.py::test_cors"),
    93: Check("WebSocket takes frames of bytes", "server/test_websocket_frames.py::test_bytes_request"),
    94: Check("WebSocket takes frames of JSON", "server/test_websocket_frames.py::test_json_request"),
    95: Check("a Flow serves three protocols", "orchestration/test_flow.py::test_every_protocol"),
    96: Check(
        "a gateway class of one's own runs, and calls Executors by name",
        "orchestration/test_custom_gateways.py::test_one_executor_is_called_by_itself",
    ),
    97: Check("routes of a FastAPI gateway call the streamer", "orchestration/test_custom_gateways.py::test_fastapi"),
    98: Check(
        "Jina 3's client talks to this server, and the other way round",
        "interop/test_calls.py::test_call interop/test_front.py::test_calls_pass"
        " interop/test_our_gateways.py::test_calls_pass",
    ),
    99: Check(
        "gRPC health and reflection answer",
        "interop/test_grpc_services.py::test_health"
        " interop/test_grpc_services.py::test_reflection_lists_what_clients_of_jina_3_look_for",
    ),
    100: Check(
        "discovery tells schemas and kinds of endpoints",
        "interop/test_grpc_services.py::test_discovery_gives_the_same_endpoints_and_schemas"
        " interop/test_grpc_hop.py::test_discovery",
    ),
    101: Check(
        "a failure sets `is-error`, and answers name their routes",
        "server/test_grpc_calls.py::test_handler_exception_is_in_band",
    ),
    102: Check(
        "clients take URLs of all schemes, and refuse two definitions",
        "client/test_factory.py::test_address client/test_factory.py::test_what_the_url_says_is_not_said_twice",
    ),
    103: Check("callbacks are called", "client/test_errors.py::test_callbacks"),
    104: Check(
        "`request_size`, `prefetch` and `results_in_order` count",
        "client/test_post.py::test_request_size client/test_post.py::test_order"
        " client/test_post.py::test_prefetch_bounds_what_is_in_flight",
    ),
    105: Check("attempts reach a server that starts late", "client/test_retries.py::test_a_server_that_comes_late"),
    106: Check(
        "`return_type` and `return_responses` give their types",
        "client/test_post.py::test_typed_result client/test_post.py::test_responses"
        " client/test_post.py::test_a_document_type_gives_one_document_when_one_came",
    ),
    107: Check(
        "`continue_on_error` and `show_progress` count",
        "client/test_errors.py::test_continue_on_error client/test_post.py::test_progress_on_a_terminal",
    ),
    108: Check(
        "metadata, compression and timeouts of a call count",
        "client/test_post.py::test_headers_and_metadata_travel client/test_connections.py::test_compression"
        " client/test_errors.py::test_timeout"
        " client/test_grpc_upstream.py::test_compression_of_requests_and_replies",
    ),
    109: Check(
        "inputs that are no documents are refused, an empty list is a request",
        "client/test_post.py::test_bad_inputs"
        " client/test_post.py::test_an_empty_container_is_a_request_without_documents",
    ),
    110: Check(
        "`profiling` tells the times of each Executor", "orchestration/test_flow.py::test_readiness_and_profile"
    ),
    111: Check(
        "variables, context and references are filled in, also inside text",
        "config/test_variables.py::test_variables_inside_text config/test_variables.py::test_the_context"
        " config/test_variables.py::test_references_inside_the_file",
    ),
    112: Check(
        "YAML of Executors, Deployments, Flows and gateways is loaded and served",
        "config/test_yaml.py::test_executor_yaml orchestration/test_deployment.py::test_yaml_and_back"
        " orchestration/test_flow.py::test_yaml_and_back"
        " orchestration/test_custom_gateways.py::test_a_gateway_is_loaded_from_yaml_without_a_flow"
        " cli/test_services.py::test_executor_serves_and_sigterm_closes_it"
        " cli/test_services.py::test_a_new_project_starts_as_it_is"
        " cli/test_flow_services.py::test_a_flow_serves_until_sigterm"
        " cli/test_flow_services.py::test_a_gateway_serves_executors_that_run_already",
    ),
    113: Check(
        "a missing file, another kind and an unknown version are errors of their own",
        "config/test_yaml.py::test_a_missing_file_names_the_path_and_the_nearest"
        " config/test_yaml.py::test_other_kinds_are_named"
        " compat/test_checks.py::test_the_version_of_a_file_is_an_error_of_its_own",
    ),
    114: Check(
        "the commands serve, and SIGTERM ends them with 0",
        "cli/test_services.py::test_executor_serves_and_sigterm_closes_it"
        " cli/test_flow_services.py::test_a_flow_serves_until_sigterm"
        " cli/test_flow_services.py::test_a_gateway_serves_executors_that_run_already"
        " compat/test_kubernetes_commands.py::test_they_start_and_answer"
        " cli/test_services.py::test_a_new_project_starts_as_it_is",
    ),
    115: Check(
        "`jina ping` tells by its exit code",
        "cli/test_services.py::test_ping_says_no_with_exit_code_1"
        " cli/test_services.py::test_executor_serves_and_sigterm_closes_it",
    ),
    116: Check(
        "`jina hub new` asks, takes flags, and writes the package",
        "hub/test_new.py::test_the_wizard_asks_in_order hub/test_new.py::test_flags_alone_ask_nothing"
        " founding/test_create.py::test_the_command_writes_the_structure",
    ),
    117: Check("four Dockerfile templates differ", "hub/test_new.py::test_the_four_templates_differ_in_their_base"),
    118: Check(
        "the projects of `jina new` run",
        "cli/test_new.py::test_flow_starts_as_it_is cli/test_new.py::test_deployment_starts_as_it_is",
    ),
    119: Check(
        "`jina export` writes pictures, schemas and files of containers; `jina help` and the completion work",
        "cli/test_flowchart.py::test_it_writes_the_picture"
        " cli/test_commands.py::test_the_schema_describes_executors_and_deployments"
        " cli/test_commands.py::test_a_wrong_line_is_exit_code_2_and_says_what_is_right"
        " cli/test_commands.py::test_bash_completes"
        " export/test_exports.py::test_the_commands_write_the_same_files",
    ),
    120: Check(
        "the export to Kubernetes is valid",
        "export/test_exports.py::test_they_are_what_they_were export/test_exports.py::test_their_commands_are_ours"
        " export/test_validators.py::test_kubernetes_takes_them",
    ),
    121: Check(
        "the export to Compose is valid",
        "export/test_exports.py::test_they_are_what_they_were export/test_validators.py::test_compose_takes_them",
    ),
    122: Check(
        "an Executor without an image cannot be exported",
        "export/test_exports.py::test_only_images_can_be_exported",
    ),
    123: Check(
        "images are started as Executors, with the options of Jina 3",
        "hub/test_containers.py::test_arguments_of_the_sdk_as_flags"
        " hub/test_containers.py::test_the_command_line_of_jina_3"
        " containers/test_docker_uses.py::test_a_deployment_answers"
        " containers/test_docker_uses.py::test_a_flow_of_an_image_of_jina_3",
    ),
    124: Check(
        "metrics have the names of Jina 3",
        "observe/test_metrics.py::test_names_and_labels_of_jina_3_with_our_sums"
        " observe/test_metrics_text.py::test_the_names_of_jina_3_are_there"
        " observe/test_prometheus.py::test_prometheus_scrapes_a_flow",
    ),
    125: Check(
        "a collector gets spans and numbers",
        "observe/test_collector.py::test_a_request_through_a_flow_is_one_tree"
        " observe/test_collector.py::test_numbers_of_all_processes_arrive",
    ),
    126: Check(
        "log configurations and levels count",
        "compat/test_checks.py::test_named_log_configurations"
        " observe/test_logs.py::test_json_is_one_object_a_line_also_with_traceback_and_newlines"
        " observe/test_logs.py::test_level_comes_from_plan_and_environment",
    ),
    127: Check(
        "requests are gathered to the preferred size and by time",
        "worker/test_batching.py::test_a_large_request_is_split_and_put_together_again"
        " worker/test_batching.py::test_a_request_waits_no_longer_than_the_timeout",
    ),
    128: Check(
        "batching is configured where an Executor is used",
        "acceptance/test_batching.py::test_configured_where_it_is_used"
        " acceptance/test_batching.py::test_configured_in_yaml",
    ),
    129: Check(
        "batching of a method with `doc` does no harm",
        "worker/test_batching.py::test_handlers_of_one_document_are_called_as_ever",
    ),
    130: Check(
        "a batch that gives fewer documents is an error of all its requests",
        "worker/test_batching.py::test_another_number_of_documents_is_an_error_of_all_requests_of_the_batch",
    ),
    131: Check(
        "SIGTERM ends everything, and nothing is left",
        "orchestration/test_scripts.py::test_sigterm_drains_closes_and_exits_with_0"
        " acceptance/test_ends.py::test_nothing_is_left"
        " orchestration/test_flow.py::test_nothing_outlives_a_killed_program",
    ),
    132: Check(
        "it runs with new releases of pydantic and DocArray",
        "compat/test_checks.py::test_new_pydantic_and_docarray_are_allowed_and_here"
        " compat/test_checks.py::test_json_over_http compat/test_checks.py::test_a_model_of_parameters",
    ),
    133: Check(
        "importing, the command and the start are quick",
        "acceptance/test_imports.py::test_import cli/test_commands.py::test_help_costs_at_most_300_ms_of_cpu"
        " orchestration/test_deployment.py::test_starting_waits_for_no_clock"
        " compat/test_checks.py::test_starting_costs_less_than_two_seconds",
    ),
}
